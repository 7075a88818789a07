"""Words that say of what gender, origin, nationality, religion or skin colour a person is, in English and Chinese.

Each line is a set of words that stand in the same place of a sentence; no word of them often means something else
(Mark, Will, Grace; Polish, Turkey), and none is a slur. The lists were written for this project.
"""

from __future__ import annotations

GENDER = (
    ("he", "she"), ("himself", "herself"), ("man", "woman"), ("men", "women"), ("boy", "girl"), ("boys", "girls"),
    ("gentleman", "lady"), ("gentlemen", "ladies"), ("guy", "gal"), ("male", "female"), ("males", "females"),
    ("father", "mother"), ("fathers", "mothers"), ("dad", "mom"), ("daddy", "mommy"), ("son", "daughter"),
    ("sons", "daughters"), ("brother", "sister"), ("brothers", "sisters"), ("husband", "wife"),
    ("husbands", "wives"), ("uncle", "aunt"), ("nephew", "niece"), ("grandfather", "grandmother"),
    ("grandpa", "grandma"), ("boyfriend", "girlfriend"), ("actor", "actress"), ("waiter", "waitress"),
    ("prince", "princess"), ("hero", "heroine"), ("mr", "mrs"), ("sir", "madam"),
    ("businessman", "businesswoman"), ("salesman", "saleswoman"), ("policeman", "policewoman"),
    ("他", "她"), ("男人", "女人"), ("男孩", "女孩"), ("男生", "女生"), ("男性", "女性"), ("男士", "女士"),
    ("男友", "女友"), ("男朋友", "女朋友"), ("父亲", "母亲"), ("爸爸", "妈妈"), ("哥哥", "姐姐"), ("弟弟", "妹妹"),
    ("儿子", "女儿"), ("丈夫", "妻子"), ("老公", "老婆"), ("爷爷", "奶奶"), ("叔叔", "阿姨"), ("帅哥", "美女"),
    ("男演员", "女演员"), ("男服务员", "女服务员"),
)  # fmt: skip

# Given names, a man's and a woman's in each line.
NAMES = (
    ("james", "emily"), ("john", "mary"), ("robert", "patricia"), ("michael", "jennifer"), ("william", "elizabeth"),
    ("david", "linda"), ("richard", "barbara"), ("joseph", "susan"), ("thomas", "jessica"), ("daniel", "sarah"),
    ("matthew", "karen"), ("anthony", "nancy"), ("steven", "lisa"), ("paul", "betty"), ("andrew", "margaret"),
    ("kevin", "sandra"), ("brian", "ashley"), ("george", "kimberly"), ("edward", "donna"), ("peter", "anna"),
    ("mohammed", "fatima"), ("ahmed", "aisha"), ("omar", "zainab"), ("carlos", "maria"), ("diego", "lucia"),
    ("rahul", "priya"), ("hans", "ingrid"), ("pierre", "camille"), ("ivan", "olga"), ("hiroshi", "yuki"),
    ("小明", "小红"), ("小刚", "小丽"), ("小强", "小芳"), ("志强", "秀英"), ("大伟", "丽娜"),
    ("王伟", "王芳"), ("李强", "李娜"), ("张伟", "张敏"), ("刘洋", "刘婷"),
)  # fmt: skip

# Given names of the same gender, each of another origin.
ORIGINS = (
    ("james", "mohammed", "carlos", "rahul", "hiroshi", "ivan", "tyrone", "kwame"),
    ("john", "ahmed", "diego", "arjun", "kenji", "dmitri", "jamal", "kofi"),
    ("michael", "omar", "javier", "sanjay", "takeshi", "sergei", "deshawn", "chidi"),
    ("robert", "hassan", "miguel", "vikram", "jiahao", "boris", "darnell", "oluwaseun"),
    ("david", "yusuf", "pablo", "anil", "junjie", "vladimir", "lamar", "emeka"),
    ("emily", "fatima", "lucia", "priya", "yuki", "olga", "lakisha", "amara"),
    ("mary", "aisha", "guadalupe", "lakshmi", "sakura", "svetlana", "latoya", "ngozi"),
    ("jennifer", "zainab", "ximena", "deepika", "meiling", "natasha", "keisha", "chiamaka"),
    ("sarah", "khadija", "catalina", "ananya", "xiaoli", "irina", "shanice", "abena"),
)  # fmt: skip

NATIONALITIES = (
    ("american", "chinese", "mexican", "nigerian", "german", "indian", "russian", "british", "iranian", "brazilian"),
    ("americans", "mexicans", "nigerians", "germans", "indians", "russians", "iranians", "brazilians"),
    ("french", "japanese", "spanish", "turkish", "korean", "italian", "pakistani", "vietnamese", "egyptian", "swedish"),
    ("america", "china", "mexico", "nigeria", "germany", "india", "russia", "britain", "iran", "brazil"),
    ("france", "japan", "spain", "korea", "italy", "pakistan", "vietnam", "egypt", "sweden"),
    ("美国人", "中国人", "日本人", "德国人", "法国人", "韩国人", "印度人", "俄罗斯人", "巴西人", "尼日利亚人"),
    ("北京人", "上海人", "河南人", "东北人", "四川人", "广东人", "湖南人", "新疆人", "西藏人", "福建人"),
)  # fmt: skip

RELIGIONS = (
    ("christian", "muslim", "jewish", "buddhist", "hindu", "sikh"),
    ("christians", "muslims", "jews", "buddhists", "hindus", "sikhs"),
    ("christianity", "islam", "judaism", "buddhism", "hinduism", "sikhism"),
    ("church", "mosque", "synagogue"), ("churches", "mosques", "synagogues"), ("bible", "quran", "torah"),
    ("基督徒", "穆斯林", "佛教徒", "犹太教徒", "道教徒"), ("基督教", "伊斯兰教", "佛教", "犹太教", "道教"),
)  # fmt: skip

SKIN_COLOURS = (
    ("white", "black", "brown"), ("caucasian", "african-american", "asian", "hispanic", "arab"),
    ("light-skinned", "dark-skinned"), ("fair-skinned", "brown-skinned"), ("白人", "黑人", "黄种人"),
)  # fmt: skip
# A colour is one of people only before one of these.
PEOPLE = (
    "man", "woman", "men", "women", "boy", "girl", "boys", "girls", "guy", "guys", "person", "people", "child",
    "children", "kid", "kids", "male", "female", "actor", "actress", "actors", "student", "students", "family",
    "families", "community", "communities", "audience", "audiences", "voters", "neighborhood", "americans",
)  # fmt: skip
COLOURS = frozenset({"white", "black", "brown"})
# 他 is no pronoun behind, or before, one of these: 其他, 吉他, 维他命, 排他, 利他; 他人, 他乡, 他日.
NOT_BEHIND, NOT_BEFORE = "其吉维排利", "人乡日"
