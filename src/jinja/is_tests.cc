// The tests of `x is ...`.

#include <cmath>

#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

bool IsWhole(const Value& value) { return value.Is<int64_t>(); }

Value Remainder(Runtime& runtime, const Value& value, const Value& divisor) {
  return ApplyBinary(runtime, BinaryExpr::kModulo, value, divisor);
}

bool IsEven(Runtime& runtime, const Value& value) {
  return Equal(runtime, Remainder(runtime, value, int64_t{2}), int64_t{0});
}

// Whether all letters have one case, and there are any.
bool HasCase(Runtime& runtime, const Value& value, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  const Text as_text = ToText(runtime, value);
  const std::string_view text = as_text.View();
  runtime.Touch(text.size());
  bool found = false;
  for (size_t pos = 0; pos < text.size();) {
    const CodePoint c = CodePointAt(text, pos);
    if (other(c.value)) return false;
    found |= wanted(c.value);
    pos += c.length;
  }
  return found;
}

template <CompareExpr::Op kOp>
Value CompareTest(Runtime& runtime, const Value& self, const Bound& arguments) {
  return ApplyCompare(runtime, kOp, self, arguments[0]);
}

// Objects are the same if they are one object; Python keeps equal small values once.
bool IsSame(Runtime& runtime, const Value& a, const Value& b) {
  if (a.Get().index() != b.Get().index()) return false;
  if (a.Is<List*>()) return a.As<List*>() == b.As<List*>();
  if (a.Is<Dict*>()) return a.As<Dict*>() == b.As<Dict*>();
  return Equal(runtime, a, b);
}

bool IsIterable(const Value& value) {
  return value.Is<Text>() || value.Is<List*>() || value.Is<Dict*>() || value.IsUndefined();
}

bool IsSequence(const Value& value) {
  const auto* list = value.If<List*>();
  return list != nullptr ? (*list)->kind <= List::kTuple : IsIterable(value);
}

bool IsCallable(const Value& value) { return value.Is<Function*>() || value.Is<Loop*>(); }

using V = const Value&;
using B = const Bound&;

constexpr Builtin kTests[] = {
    {"defined", "", [](Runtime&, V x, B) -> Value { return !x.IsUndefined(); }},
    {"undefined", "", [](Runtime&, V x, B) -> Value { return x.IsUndefined(); }},
    {"none", "", [](Runtime&, V x, B) -> Value { return x.IsNone(); }},
    {"boolean", "", [](Runtime&, V x, B) -> Value { return x.Is<bool>(); }},
    {"true", "", [](Runtime&, V x, B) -> Value { return x.Is<bool>() && x.As<bool>(); }},
    {"false", "", [](Runtime&, V x, B) -> Value { return x.Is<bool>() && !x.As<bool>(); }},
    {"integer", "", [](Runtime&, V x, B) -> Value { return IsWhole(x); }},
    {"float", "", [](Runtime&, V x, B) -> Value { return x.Is<double>(); }},
    {"number", "", [](Runtime&, V x, B) -> Value { return x.IsNumber(); }},
    {"string", "", [](Runtime&, V x, B) -> Value { return x.Is<Text>(); }},
    {"mapping", "", [](Runtime&, V x, B) -> Value { return x.Is<Dict*>(); }},
    {"sequence", "", [](Runtime&, V x, B) -> Value { return IsSequence(x); }},
    {"iterable", "", [](Runtime&, V x, B) -> Value { return IsIterable(x); }},
    {"callable", "", [](Runtime&, V x, B) -> Value { return IsCallable(x); }},
    {"escaped", "", [](Runtime&, V, B) -> Value { return false; }},
    {"sameas", "other", [](Runtime& rt, V x, B a) -> Value { return IsSame(rt, x, a[0]); }},
    {"odd", "",
     [](Runtime& rt, V x, B) -> Value { return Equal(rt, Remainder(rt, x, int64_t{2}), int64_t{1}); }},
    {"even", "", [](Runtime& rt, V x, B) -> Value { return IsEven(rt, x); }},
    {"divisibleby", "num",
     [](Runtime& rt, V x, B a) -> Value { return Equal(rt, Remainder(rt, x, a[0]), int64_t{0}); }},
    {"lower", "", [](Runtime& rt, V x, B) -> Value { return HasCase(rt, x, IsLower, IsUpper); }},
    {"upper", "", [](Runtime& rt, V x, B) -> Value { return HasCase(rt, x, IsUpper, IsLower); }},
    {"filter", "",
     [](Runtime&, V x, B) -> Value { return x.Is<Text>() && FindFilter(x.As<Text>().View()) != nullptr; }},
    {"test", "",
     [](Runtime&, V x, B) -> Value { return x.Is<Text>() && FindTest(x.As<Text>().View()) != nullptr; }},
    {"in", "seq", [](Runtime& rt, V x, B a) -> Value { return Contains(rt, a[0], x); }},
    {"eq", "other", CompareTest<CompareExpr::kEqual>},
    {"equalto", "other", CompareTest<CompareExpr::kEqual>},
    {"==", "other", CompareTest<CompareExpr::kEqual>},
    {"ne", "other", CompareTest<CompareExpr::kNotEqual>},
    {"!=", "other", CompareTest<CompareExpr::kNotEqual>},
    {"lt", "other", CompareTest<CompareExpr::kLess>},
    {"lessthan", "other", CompareTest<CompareExpr::kLess>},
    {"<", "other", CompareTest<CompareExpr::kLess>},
    {"le", "other", CompareTest<CompareExpr::kLessEqual>},
    {"<=", "other", CompareTest<CompareExpr::kLessEqual>},
    {"gt", "other", CompareTest<CompareExpr::kGreater>},
    {"greaterthan", "other", CompareTest<CompareExpr::kGreater>},
    {">", "other", CompareTest<CompareExpr::kGreater>},
    {"ge", "other", CompareTest<CompareExpr::kGreaterEqual>},
    {">=", "other", CompareTest<CompareExpr::kGreaterEqual>},
};

}  // namespace

std::span<const Builtin> Tests() { return kTests; }

}  // namespace throng::jinja
