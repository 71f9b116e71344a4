"""The overlap check in scripts with and without spaces: copies are found, texts on the same matter are not."""

# ruff: noqa: E501
from __future__ import annotations

import unicodedata

import pytest

from contextune import data
from contextune.data.contamination import overlap, wordings

ITEMS = {
    "Chinese": "港口有两盏灯，一盏是绿色的，一盏是红色的，红灯立在西边的防波堤上，守灯人每天黄昏把它点亮。",
    "Japanese": "港には二つの灯台があり、一つは緑色で、もう一つは赤色です。赤い灯台は西の防波堤の上に立っています。",
    "Korean": "항구에는 등대가 두 개 있는데 하나는 초록색이고 다른 하나는 빨간색이며 빨간 등대는 서쪽 방파제 위에 서 있습니다.",
    "Thai": "ท่าเรือมีประภาคารสองแห่ง แห่งหนึ่งสีเขียวและอีกแห่งหนึ่งสีแดง ประภาคารสีแดงตั้งอยู่บนเขื่อนกันคลื่นทางทิศตะวันตก",
    "Khmer": "កំពង់ផែមានប៉មភ្លើងពីរ មួយពណ៌បៃតង និងមួយទៀតពណ៌ក្រហម ប៉មពណ៌ក្រហមឈរនៅលើទំនប់ទឹកខាងលិច",
    "Arabic": "في الميناء منارتان إحداهما خضراء والأخرى حمراء وتقف المنارة الحمراء على الرصيف الغربي القديم قرب المدينة",
    "German": "Im Hafen stehen zwei Leuchttürme, einer ist grün und einer ist rot, und der rote steht auf der Mole.",
    "Hindi": "बंदरगाह पर दो दीपस्तंभ हैं, एक हरा है और दूसरा लाल है, और लाल दीपस्तंभ पुरानी पश्चिमी दीवार पर खड़ा है।",
}
OTHERS = {
    "Chinese": "港口今天很安静。渡船中午离开小岛，在天黑以前回来，守灯人的女儿在西边的学校里教孩子们读书写字，红色的船停在岸边。",
    "Japanese": "港は今日とても静かです。船は正午に島を出て、暗くなる前に戻ってきます。灯台守の娘は西の学校で子供たちに読み方を教えています。",
    "Korean": "오늘 항구는 아주 조용합니다. 배는 정오에 섬을 떠나 어두워지기 전에 돌아오고 등대지기의 딸은 서쪽 학교에서 아이들을 가르칩니다.",
    "Thai": "วันนี้ท่าเรือเงียบมาก เรือออกจากเกาะตอนเที่ยงและกลับมาก่อนค่ำ ลูกสาวของคนเฝ้าประภาคารสอนเด็กๆ ที่โรงเรียนทางทิศตะวันตก",
    "Khmer": "ថ្ងៃនេះកំពង់ផែស្ងាត់ណាស់ ទូកចាកចេញពីកោះនៅថ្ងៃត្រង់ ហើយត្រឡប់មកវិញមុនពេលងងឹត",
    "Arabic": "الميناء هادئ اليوم وتغادر السفينة الجزيرة عند الظهر وتعود قبل حلول الظلام وابنة الحارس تعلم الأطفال في المدرسة الغربية",
    "German": "Im Hafen ist es heute still, die Fähre verlässt die Insel am Mittag und kommt zurück, bevor es auf der Mole dunkel wird.",
    "Hindi": "आज बंदरगाह पर बहुत शांति है, नाव दोपहर को द्वीप से जाती है और अंधेरा होने से पहले लौट आती है।",
}  # fmt: skip


def hidden(text: str) -> str:
    """As it may come out of another program: decomposed, hyphenated, with invisible characters."""
    broken = "".join(c + "\u00ad" * (i % 7 == 3) + "\u200b" * (i % 11 == 5) for i, c in enumerate(text))
    return "\ufeff" + unicodedata.normalize("NFD", broken)


@pytest.mark.parametrize("script", ITEMS)
def test_a_copy_is_found_and_another_text_is_not(script):
    item, other = ITEMS[script], OTHERS[script]
    assert overlap([("t", f"{other} {item} {other}")], [("q", item)]).ids == ("q",)
    assert overlap([("t", other + hidden(item))], [("q", item)]).ids == ("q",)
    assert overlap([("t", item[: len(item) * 7 // 8])], [("q", item)]).ids == ("q",)
    found = overlap([("t", other)], [("q", item)])
    assert (found.ids, found.checked) == ((), 1)
    assert overlap([("t", other), ("u", item[: len(item) // 4])], [("q", item)]).ids == ()


def test_texts_that_share_a_long_name_are_no_copies():
    train = "昨天，中华人民共和国全国人民代表大会讨论了港口的预算。"
    item = "中华人民共和国全国人民代表大会每年在北京开会，这座城市有两千多万居民，冬天很冷。"
    assert overlap([("t", train)], [("q", item)]).ids == ()


def test_a_short_item_must_occur_whole_in_any_script():
    train = [("t", "老师问：法国的首都是哪座城市？大家都知道答案。タワーはどこにありますかと聞いた。")]
    items = [("zh", "法国的首都是哪座城市？"), ("other", "德国的首都是哪座城市？"), ("short", "首都")]
    found = overlap(train, items)
    assert (found.ids, found.unchecked) == (("zh",), ("short",))


def test_words_shown_are_as_they_are_written():
    assert overlap([("t", "GPT模型在港口运行得很快，也很安静")], [("q", "GPT模型在港口运行得很快")]).hits[0].words == (
        "gpt 模型在港口运行得很快"
    )


def test_a_line_is_looked_for_without_its_label():
    prompt = "问题：红色的灯塔立在哪一座防波堤上面？\n答案："
    assert "红色的灯塔立在哪一座防波堤上面？" in list(wordings(prompt, "西边"))


def test_duplicates_are_told_by_the_normal_form_and_stay_on_one_side(write, tmp_path):
    texts = [ITEMS["German"], unicodedata.normalize("NFD", ITEMS["German"]), ITEMS["Chinese"], hidden(ITEMS["Chinese"])]
    source = write([{"text": t} for t in (*texts, OTHERS["German"])], held_out=0.5)
    found = data.load(source, tmp_path)
    assert found.repeated == ("a.jsonl:2 (as a.jsonl:1)", "a.jsonl:4 (as a.jsonl:3)")
    sides = {d.origin: d in found.held_out for d in (*found.documents, *found.held_out)}
    assert sides["a.jsonl:1"] == sides["a.jsonl:2"]
    assert sides["a.jsonl:3"] == sides["a.jsonl:4"]
