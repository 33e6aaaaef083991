"""What the generator says, the parser reads; what is not of the language, it refuses. Needs nothing but Python."""

import json
import re
import unittest
from random import Random

from generator import FactMaker, make_scene, say_tail
from grammar import FACTS, FORM_OF, FORMS, OWN, REACTIONS, SLOTS, TOLD_BY, UNKNOWN, parse_sentence, parse_utterance, responds
from judge import Memory, judge, knowers, sentences, shares
from lexicon import REMARKS

# Made-up words are for training to copy; the town itself has none of them.
FactMaker.noun = lambda self, kind, words: self.fresh(kind, lambda: self.rng.choice(words))


def talks(count: int):
    """(speaker's name, other's name, [(mine, utterance)], whether the last ends the talk, the news shown)."""
    for i in range(count):
        rng = Random(f"test/{i}")
        scene = make_scene(rng, rng.randint(1, 20), 0.6)
        prompt, answer = say_tail(rng, scene)
        said = json.loads(answer.text)
        shown = re.search(r"News for (\w+):\n(.*)\nTalk so far:\n(.*)\nSay:\n", prompt.text, re.S)
        lines = [line.partition(": ") for line in shown[3].splitlines() if line != "- none"]
        yield (scene.persona["name"], shown[1], [(who == "You", text) for who, _, text in lines] + [(True, said["say"])], said["end"],
               frozenset(line[2:] for line in shown[2].splitlines()))


def fill(form, rng: Random) -> str:
    return form.text.format(**{slot: rng.choice(form.words.get(slot) or SLOTS[slot]) for slot in form.slots()})


class Generated(unittest.TestCase):
    def test_every_talk_is_read_and_fits(self) -> None:
        kinds = set()
        for me, other, lines, end, news in talks(800):
            # A statement without a form comes from the news or from what the other said.
            remarks = news | {s for _, text in lines for s in sentences(text) if s.split()[-1] in {r.split()[-1] for r in REMARKS}}
            heard = []
            for i, (mine, text) in enumerate(lines):
                said = parse_utterance(text, other if mine else me, heard, end if i == len(lines) - 1 else False, frozenset(remarks))
                self.assertNotIsInstance(said, str, said)
                heard = said.told
                kinds |= {(s.act, s.kind) for readings in said.sentences for s in readings}
                self.assertLessEqual(len(text), 120)
        self.assertEqual(kinds, {(form.act, form.kind) for form in FORMS} | {("fact", "remark")})

    def test_scrambled_words_are_refused(self) -> None:
        rng = Random(1)
        for _, other, lines, end, news in talks(200):
            words = lines[0][1].split()
            rng.shuffle(words)
            if " ".join(words) != lines[0][1]:
                self.assertIsInstance(parse_utterance(" ".join(words), other, [], end, news), str, words)

    def test_a_sentence_without_one_of_its_words_is_refused(self) -> None:
        rng = Random(2)
        for form in FORMS:
            for _ in range(10):
                words = fill(form, rng).split()
                for i in range(len(words)):
                    left = " ".join(words[:i] + words[i + 1:])
                    self.assertFalse(parse_sentence(left), left)


class Forms(unittest.TestCase):
    def test_every_form_reads_its_own_sentences(self) -> None:
        rng = Random(3)
        for form in FORMS:
            for _ in range(20):
                text = fill(form, rng)
                self.assertIn((form.act, form.kind), [(s.act, s.kind) for s in parse_sentence(text)], text)

    def test_every_question_and_statement_has_a_response(self) -> None:
        self.assertEqual({r.kind for r in REACTIONS}, {f.kind for f in FACTS + OWN} | {"remark"} | set(UNKNOWN))
        self.assertEqual(set(TOLD_BY), set(UNKNOWN))

    def test_a_reaction_names_what_was_told(self) -> None:
        concert = parse_sentence("the concert is at the park at 18:00.")[0]
        for text, fits in (("I will come to the concert.", True), ("see you at the park at 18:00.", True),
                           ("I will come to the fair.", False), ("see you at the park at 17:00.", False),
                           ("I like jazz too.", False), ("the concert is at the park at 18:00.", False)):
            self.assertEqual(any(responds(s, concert) for s in parse_sentence(text)), fits, text)

    def test_an_answer_is_about_what_was_asked(self) -> None:
        asked = parse_sentence("where is Mia?")[0]
        for text, fits in (("I saw Mia at the park.", True), ("I do not know where Mia is.", True), ("I saw Leo at the park.", False),
                           ("I do not know where Leo is.", False), ("I have no news.", False), ("I will come to the concert.", False)):
            self.assertEqual(any(responds(s, asked) for s in parse_sentence(text)), fits, text)

    def test_an_utterance_has_its_order(self) -> None:
        heard = parse_sentence("Finn likes jazz.")
        good = ("thanks Ada. I like jazz too. bye Ada.", "I like jazz too. what is new?", "I like jazz too. bye Ada.")
        bad = ("hello Ada. Finn likes jazz.", "bye Ada.", "I like jazz too.", "I like jazz too. bye Ben.", "Finn likes jazz.",
               "thanks Ada.", "what is new? I like jazz too.", "I like jazz too", "I like jazz too. what is new? bye Ada. bye Ada.")
        for text in good:
            self.assertNotIsInstance(parse_utterance(text, "Ada", heard, None), str, text)
        for text in bad:
            self.assertIsInstance(parse_utterance(text, "Ada", heard, None), str, text)
        self.assertIsInstance(parse_utterance(good[0], "Ada", heard, False), str)
        self.assertIsInstance(parse_utterance(good[1], "Ada", heard, True), str)

    def test_facts_stand_alone_and_nothing_else_does(self) -> None:
        pointers = re.compile(r"\b(I|me|you)\b|\{you\}|\?$")
        for form in FORMS:
            self.assertEqual(not pointers.search(form.text), form.act == "fact", form.text)
        self.assertEqual(FORM_OF["event"].act, "fact")


class Judge(unittest.TestCase):
    ADA = [
        Memory(360, "heard", "Zoe said: Finn likes jazz."),
        Memory(365, "planned", "You planned: 07:00 home: have breakfast; 12:00 cafe: eat lunch"),
        Memory(400, "saw", "You saw Mia at the cafe."),
    ]

    def said(self, *lines: str, minute: int = 410):
        """Lines alternate between Ada, who begins, and Ben."""
        memories = [Memory(minute, "said", f"You said to Ben: {text}") if i % 2 == 0 else Memory(minute, "heard", f"Ben said: {text}")
                    for i, text in enumerate(lines)]
        return judge({"Ada": self.ADA + memories})

    def test_what_is_known_and_fits_is_right(self) -> None:
        spoken = self.said("hello Ben. Finn likes jazz.", "I like jazz too. where is Mia?", "I saw Mia at the cafe. where is Rosa?",
                           "I do not know where Rosa is. what will you do next?", "I will eat lunch at the cafe at 12:00.",
                           "I hope you enjoy the cafe. what is new?", "I have no news. bye Ben.")
        self.assertEqual([(line.flaw, line.untrue) for line in spoken], [("", [])] * 4)
        self.assertEqual(shares(spoken), dict(utterances=4, language=1, true=1, fits=1))

    def test_what_is_not_known_is_untrue(self) -> None:
        for text in ("Finn likes tea.", "I saw Leo at the cafe.", "I saw Mia at the park.", "I will eat lunch at the cafe at 13:00.",
                     "where is Olga?"):
            self.assertEqual([line.untrue for line in self.said(f"hello Ben. {text}")], [[text]])
        self.assertEqual(self.said("hello Ben. Finn likes jazz.", "I like jazz too. where is Mia?", "I do not know where Mia is.")[1].untrue,
                         ["I do not know where Mia is."])
        self.assertEqual(self.said("hello Ben. what is new?", "I have no news. what is new?", "I will ask somebody else. bye Ben.")[1].flaw[:25],
                         "this does not respond to ")

    def test_who_has_not_told_a_fact_has_news(self) -> None:
        ben = [Memory(410, "heard", "Ben said: hello Ada. what is new?"), Memory(410, "said", "You said to Ben: I have no news.")]
        self.assertEqual(judge({"Ada": self.ADA + ben})[0].untrue, ["I have no news."])
        self.assertEqual(judge({"Ada": self.ADA[1:] + ben})[0].untrue, [])

    def test_the_next_talk_begins_anew(self) -> None:
        first = [Memory(410, "said", "You said to Ben: hello Ben. what is new?")]
        later = [Memory(500, "said", "You said to Ben: hello Ben. Finn likes jazz.")]
        self.assertEqual([line.flaw for line in judge({"Ada": self.ADA + first + later})], ["", ""])

    def test_words_salad_is_flawed(self) -> None:
        line = self.said("good to know, I will see I will see see you the a at the the")[0]
        self.assertTrue(line.flaw)
        self.assertEqual(shares([line])["language"], 0)

    def test_knowers(self) -> None:
        self.assertEqual(knowers({"Ada": self.ADA, "Ben": []}, "Finn likes jazz."), ["Ada"])


if __name__ == "__main__":
    unittest.main()
