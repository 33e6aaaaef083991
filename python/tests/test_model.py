"""throng.Model: batches, constraints, purity, errors, and Python's lock."""

import json
import threading
import time
import unittest

import throng

try:
    import numpy
except ImportError:
    numpy = None

PROMPTS = ["The park is", "Ann says: ", "At nine o'clock Ben"]


class GenerateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = throng.Model(kv="flashq4", threads=2)

    def test_an_answer_does_not_depend_on_its_batch(self):
        prompts = [text * 40 for text in PROMPTS]
        together = self.model.generate(prompts, max_tokens=12)
        self.assertEqual(together, [self.model.generate(prompt, max_tokens=12) for prompt in prompts])

    def test_the_seed_makes_the_answer(self):
        def draw(seed):
            return self.model.generate("Once", max_tokens=16, temperature=1.5, seed=seed)

        self.assertEqual(draw(1), draw(1))
        self.assertGreater(len({draw(seed) for seed in range(8)}), 1)
        self.assertGreater(len(set(self.model.generate(["Once"] * 8, max_tokens=16, temperature=1.5))), 1)

    def test_speed_does_not_change_answers(self):
        plain = throng.Model(kv="flashq4", threads=1, lookup="off", repack="off")
        for prompt in PROMPTS:
            self.assertEqual(plain.generate(prompt, max_tokens=24), self.model.generate(prompt, max_tokens=24))

    def test_constraints_hold(self):
        for answer in self.model.generate(PROMPTS, temperature=2.0, choices=["yes", "no"]):
            self.assertIn(answer, ("yes", "no"))
        schema = {"type": "object", "properties": {"at": {"enum": ["park", "cafe"]}}, "required": ["at"]}
        for as_given in (schema, json.dumps(schema)):
            answer = self.model.generate("Where?", temperature=2.0, json_schema=as_given)
            self.assertIn(json.loads(answer)["at"], ("park", "cafe"))

    def test_completions_say_how_they_came_about(self):
        answer = self.model.generate("The park is", max_tokens=3)
        self.assertEqual((answer.finish, answer.output_tokens), ("length", 3))
        self.assertEqual(answer.prompt_tokens, len(self.model.tokenize("The park is")))
        self.assertEqual(self.model.generate([]), [])

    def test_tokens_and_back(self):
        text = "Ann meets Ben. Zoë? 🌳"
        self.assertEqual(self.model.detokenize(self.model.tokenize(text, bos=False)), text)

    def test_errors_are_one_sentence(self):
        for wrong in (lambda: throng.Model("/no/such/file.gguf"), lambda: throng.Model(kv="flashq5"),
                      lambda: throng.Model(repack="always"), lambda: throng.Model(lookup="always"),
                      lambda: throng.Model(device="gpu"),
                      lambda: self.model.generate("x", choices=["a"], json_schema={}),
                      lambda: self.model.generate("x", max_tokens=-1),
                      lambda: self.model.generate("x " * 100000),
                      lambda: self.model.generate(["fine", "x " * 100000]),
                      lambda: self.model.detokenize([1 << 30]), lambda: self.model.logits([]),
                      lambda: self.model.logits([1 << 30]), lambda: self.model.logits([1], last=0)):
            with self.assertRaises(throng.Error) as caught:
                wrong()
            self.assertIsInstance(caught.exception, ValueError)
            self.assertRegex(str(caught.exception), r"^.+$")
            self.assertIn(caught.exception.code, ("invalid", "io", "unsupported", "exhausted"))

    def test_other_threads_run_while_it_computes(self):
        running = threading.Event()
        done = threading.Event()

        def compute():
            running.set()
            self.model.generate("Once", max_tokens=400, stop=["never to be said"])
            done.set()

        thread = threading.Thread(target=compute)
        thread.start()
        running.wait()
        turns = 0
        while not done.is_set():
            time.sleep(0.001)
            turns += 1
        thread.join()
        self.assertGreater(turns, 3)

    def test_threads_share_a_model(self):
        expected = self.model.generate(PROMPTS, max_tokens=8)
        found = [None] * 4

        def compute(i):
            found[i] = [self.model.generate(prompt, max_tokens=8) for prompt in PROMPTS]

        threads = [threading.Thread(target=compute, args=(i,)) for i in range(len(found))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, [expected] * len(found))


@unittest.skipIf(numpy is None, "numpy is missing (python3-numpy): logits are not tested")
class LogitsTest(unittest.TestCase):
    def test_rows_do_not_depend_on_what_follows(self):
        model = throng.Model(kv="int8", threads=2)
        ids = model.tokenize("The park is open and the cafe is closed. " * 12)
        rows = model.logits(ids)
        self.assertEqual(rows.shape, (len(ids), model.vocab_size))
        self.assertEqual(rows.dtype, numpy.float32)
        for part in (1, 63, 64, 65, len(ids) - 1):
            numpy.testing.assert_array_equal(model.logits(ids[:part], last=1)[0], rows[part - 1])
        numpy.testing.assert_array_equal(model.logits(ids, last=len(ids) - 60), rows[60:])

    def test_the_most_likely_token_is_what_is_generated(self):
        model = throng.Model(threads=1)
        ids = model.tokenize("The park is")
        answer = model.generate("The park is", max_tokens=1)
        self.assertEqual(answer, model.detokenize(ids + [int(model.logits(ids, last=1).argmax())])[-len(answer):])

    def test_beside_generation_in_other_threads(self):
        model = throng.Model(threads=2)
        ids = model.tokenize("The park is open")
        expected = model.logits(ids)
        text = model.generate("Once", max_tokens=64)
        found = []
        thread = threading.Thread(target=lambda: found.append(model.generate("Once", max_tokens=64)))
        thread.start()
        while thread.is_alive():
            numpy.testing.assert_array_equal(model.logits(ids), expected)
        thread.join()
        self.assertEqual(found, [text])


if __name__ == "__main__":
    unittest.main()
