// Answers texts from a bundle without Python: node predict.mjs BUNDLE "A lovely film." "I left after an hour."
import { readFile } from "node:fs/promises";
import { Tokenizer } from "@huggingface/tokenizers";
import { InferenceSession, Tensor } from "onnxruntime-node";

const json = async (file) => JSON.parse(await readFile(file, "utf8"));

export async function load(bundle) {
  const { inputs, output, graphs } = await json(`${bundle}/serving.json`);
  const column = await json(`${bundle}/columns/${inputs[0].key}.json`); // how the text is read
  const label = await json(`${bundle}/columns/${output.key}.json`); // what its classes are called
  const tokenizer = new Tokenizer(await json(`${bundle}/columns/${column.key}.tokenizer.json`), {});
  const session = await InferenceSession.create(`${bundle}/${graphs.model.file}`);

  const bare = tokenizer.encode("a", { add_special_tokens: false }).ids;
  const framed = tokenizer.encode("a").ids; // [CLS] a [SEP]: what stands around every text is never cut off
  const before = framed.indexOf(bare[0]), behind = framed.length - before - bare.length;

  return async function predict(text) {
    const read = [...text].slice(0, 64 * column.max_tokens).join("");
    let ids = tokenizer.encode(read).ids;
    if (!ids.length) ids = [column.pad_id]; // a row has a token at least
    if (ids.length > column.max_tokens) {
      ids = [...ids.slice(0, column.max_tokens - behind), ...ids.slice(ids.length - behind)];
    }
    const tensor = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const feeds = { [`${column.key}_ids`]: tensor(ids), [`${column.key}_mask`]: tensor(ids.map(() => 1)) };
    const logits = Array.from((await session.run(feeds)).outputs.data);
    const odds = logits.map((logit) => Math.exp((logit - Math.max(...logits)) / label.temperature));
    const chances = odds.map((one) => one / odds.reduce((sum, other) => sum + other));
    const best = chances.indexOf(Math.max(...chances));
    return { [label.name]: label.classes[best], confidence: Math.round(1e4 * chances[best]) / 1e4, logits };
  };
}

if (process.argv[1] === import.meta.filename) {
  const predict = await load(process.argv[2]);
  for (const text of process.argv.slice(3)) console.log(JSON.stringify(await predict(text)));
}
