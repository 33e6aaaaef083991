"""The package as a whole: every example runs, everything public is documented, stubs match, results pickle."""

import ast
import copy
import dataclasses
import doctest
import importlib
import inspect
import os
import pickle
import pkgutil
import re
import unittest

import support
import throng
from throng import _native

MODULES = sorted(module.name for module in pkgutil.iter_modules(throng.__path__))

try:
    import numpy
except ImportError:
    numpy = None


def load_tests(loader, tests, pattern):
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ["throng", *(f"throng.{module}" for module in MODULES)]:
        module = importlib.import_module(name)
        for test in finder.find(module):
            if test.examples and (numpy is not None or "numpy" not in (test.docstring or "")):
                tests.addTest(doctest.DocTestCase(test))
    return tests


def stub_of(module):
    path = os.path.join(os.path.dirname(throng.__file__), module + ".pyi")
    with open(path) as file:
        return ast.parse(file.read())


class DocsTest(unittest.TestCase):
    def test_everything_public_is_documented(self):
        missing = []
        for name in throng.__all__:
            thing = getattr(throng, name)
            doc = inspect.getdoc(thing) or ""
            if inspect.isclass(thing):
                doc = "\n".join(base.__doc__ or "" for base in thing.__mro__ if base.__module__.startswith("throng"))
            if len(doc) < 20:
                missing.append(name)
            if not inspect.isclass(thing):
                continue
            fields = getattr(thing, "_fields", ())
            if dataclasses.is_dataclass(thing):
                fields = [field.name for field in dataclasses.fields(thing)]
            annotated = [name for base in thing.__mro__ for name in vars(base).get("__annotations__", ())]
            attributes = [attribute for base in thing.__mro__ if base.__module__.startswith("throng")
                          for attribute in vars(base)]
            for attribute in {*fields, *annotated, *attributes}:
                if attribute.startswith("_") or f"``{attribute}``" in doc or f"`{attribute}`" in doc:
                    continue
                if attribute in dir(dict) and issubclass(thing, dict):
                    continue
                own = getattr(getattr(thing, attribute, None), "__doc__", None) or ""
                is_documented = inspect.isroutine(getattr(thing, attribute, None)) or (
                    attribute in vars(thing) and hasattr(vars(thing)[attribute], "__get__"))
                if not own or not is_documented or own.startswith("Alias for field"):
                    missing.append(f"{name}.{attribute}")
        self.assertEqual(sorted(missing), [])


class StubTest(unittest.TestCase):
    def test_the_stub_names_what_the_module_has(self):
        stub = {node.name: node for node in stub_of("_native").body
                if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
        public = {name for name, value in vars(_native).items()
                  if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value))}
        self.assertEqual(set(stub), public)
        for name, node in stub.items():
            if not isinstance(node, ast.ClassDef):
                continue
            declared = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} - {"__init__"}
            declared |= {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
            defined = {attribute for attribute in vars(getattr(_native, name)) if not attribute.startswith("_")}
            self.assertEqual(declared, defined, name)

    def test_the_stub_names_the_arguments(self):
        """pybind11 writes each signature into the first line of the documentation."""
        tree = stub_of("_native")
        functions = [(node.name, node, getattr(_native, node.name)) for node in tree.body
                     if isinstance(node, ast.FunctionDef)]
        functions += [(f"{node.name}.{item.name}", item, getattr(getattr(_native, node.name), item.name))
                      for node in tree.body if isinstance(node, ast.ClassDef)
                      for item in node.body if isinstance(item, ast.FunctionDef) and not item.decorator_list]
        self.assertGreater(len(functions), 30)
        for name, node, function in functions:
            signature = function.__doc__.splitlines()[0]
            has = [argument for argument in re.findall(r"[(,] ?(\w+): ", signature) if argument != "self"]
            declared = [argument.arg for argument in node.args.args + node.args.kwonlyargs if argument.arg != "self"]
            if any(argument.startswith("arg") for argument in has):  # by position alone
                self.assertEqual(len(has), len(declared), name)
            else:
                self.assertEqual(has, declared, name)

    def test_the_package_says_that_it_is_typed(self):
        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(throng.__file__), "py.typed")))
        for name in throng.__all__:
            thing = getattr(throng, name)
            if inspect.isfunction(thing):
                hints = inspect.signature(thing)
                self.assertIsNot(hints.return_annotation, inspect.Signature.empty, name)
                for parameter in hints.parameters.values():
                    self.assertIsNot(parameter.annotation, inspect.Parameter.empty, f"{name}({parameter.name})")


class PickleTest(unittest.TestCase):
    def test_intents_keep_what_they_leave_as_it_is(self):
        for made in (pickle.loads(pickle.dumps(throng.Intent(status="x"))), copy.deepcopy(throng.Intent(status="x"))):
            self.assertIs(made.mind, throng.Intent().mind)

    def test_results_pickle(self):
        class Keeper(support.Line):
            def agents(self):
                return [agent._replace(mind={"seen": [{"name": agent.name}]}) for agent in super().agents()]

            def proceed(self, view, agent):
                yield throng.Call("x", max_tokens=4)
                return throng.Intent(mind={**agent.mind, "step": view.step}, events=[("say", "hello")])

        result = throng.run(Keeper(), "fake", steps=3, reporters=throng.Reporters(
            agent={"seen": lambda agent: len(agent.mind["seen"])}))
        again = pickle.loads(pickle.dumps(result))
        self.assertEqual(again, result)
        self.assertEqual(again.agents[0].mind["seen"][0]["name"], "a0")
        with self.assertRaises(TypeError):  # read-only, as before
            again.agents[0].mind["seen"] = ()
        self.assertEqual(again.frame("agents")["seen"], [1] * 18)
        self.assertIs(type(again.frame("calls")), throng.Frame)
        self.assertEqual(copy.deepcopy(result.agents), result.agents)

    def test_reports_and_answers_pickle(self):
        report = throng.verify(support.Line, steps=3, shuffled=0)
        again = pickle.loads(pickle.dumps(report))
        self.assertEqual((again.equal, again.runs), (True, report.runs))
        answer = pickle.loads(pickle.dumps(throng.Completion("yes", "stop", 12, 3, 1)))
        self.assertEqual((answer, answer.prompt_tokens, answer.cached_prompt_tokens), ("yes", 12, 3))


if __name__ == "__main__":
    unittest.main()
