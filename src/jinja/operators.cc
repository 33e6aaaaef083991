#include "jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "jinja/format.h"
#include "jinja/string_ops.h"
#include "jinja/unicode.h"

namespace throng::jinja {
namespace {

constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void FailOperands(Runtime& runtime, BinaryExpr::Op op, const Value& left, const Value& right) {
  if (const auto* undefined = left.If<Undefined>()) runtime.FailUndefined(*undefined);
  if (const auto* undefined = right.If<Undefined>()) runtime.FailUndefined(*undefined);
  runtime.Fail("'{}' is not supported between '{}' and '{}'", kSymbols[op], TypeName(left), TypeName(right));
}

int64_t ToInt(const Value& value) {
  if (const auto* flag = value.If<bool>()) return *flag ? 1 : 0;
  return value.As<int64_t>();
}

bool IsWhole(const Value& value) { return value.Is<bool>() || value.Is<int64_t>(); }

[[noreturn]] void FailOverflow(Runtime& runtime) { runtime.Fail("a whole number is beyond 64 bits"); }

int64_t FloorDivide(Runtime& runtime, int64_t a, int64_t b) {
  if (b == 0) runtime.Fail("division by zero");
  if (a == std::numeric_limits<int64_t>::min() && b == -1) FailOverflow(runtime);
  const int64_t quotient = a / b;
  return quotient - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0);
}

int64_t Modulo(Runtime& runtime, int64_t a, int64_t b) {
  if (b == 0) runtime.Fail("modulo by zero");
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

int64_t Power(Runtime& runtime, int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) FailOverflow(runtime);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) FailOverflow(runtime);
  }
  return result;
}

Value WholeNumbers(Runtime& runtime, BinaryExpr::Op op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryExpr::kAdd:
      if (__builtin_add_overflow(a, b, &result)) FailOverflow(runtime);
      return result;
    case BinaryExpr::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) FailOverflow(runtime);
      return result;
    case BinaryExpr::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) FailOverflow(runtime);
      return result;
    case BinaryExpr::kDivide:
      if (b == 0) runtime.Fail("division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryExpr::kFloorDivide:
      return FloorDivide(runtime, a, b);
    case BinaryExpr::kModulo:
      return Modulo(runtime, a, b);
    case BinaryExpr::kPower:
      if (b >= 0) return Power(runtime, a, b);
      if (a == 0) runtime.Fail("0 cannot be raised to a negative power");
      return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  return result;
}

Value RealNumbers(Runtime& runtime, BinaryExpr::Op op, double a, double b) {
  switch (op) {
    case BinaryExpr::kAdd:
      return a + b;
    case BinaryExpr::kSubtract:
      return a - b;
    case BinaryExpr::kMultiply:
      return a * b;
    case BinaryExpr::kDivide:
      if (b == 0) runtime.Fail("division by zero");
      return a / b;
    case BinaryExpr::kFloorDivide:
    case BinaryExpr::kModulo: {
      if (b == 0) runtime.Fail("division by zero");
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      if (op == BinaryExpr::kModulo) return rest == 0 ? std::copysign(0.0, b) : rest;
      const double quotient = (a - rest) / b;
      if (quotient == 0) return std::copysign(0.0, a / b);
      const double floored = std::floor(quotient);
      return quotient - floored > 0.5 ? floored + 1 : floored;
    }
    case BinaryExpr::kPower: {
      if (a == 0 && b < 0) runtime.Fail("0 cannot be raised to a negative power");
      const double power = std::pow(a, b);
      if (std::isnan(power) && !std::isnan(a) && !std::isnan(b))
        runtime.Fail("complex numbers are not supported");
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) runtime.Fail("the power is too large");
      return power;
    }
  }
  return 0.0;
}

Text SumOfTexts(Runtime& runtime, const Text& left, const Text& right) {
  const bool is_markup = left.IsMarkup() || right.IsMarkup();
  const auto part = [&](const Text& text) {
    return is_markup && !text.IsMarkup() ? Escaped(runtime, text) : text;
  };
  TextBuilder builder;
  runtime.Touch(left.Size() + right.Size());
  builder.Append(part(left));
  builder.Append(part(right));
  return is_markup ? builder.Take().AsMarkup() : builder.Take();
}

Value RepeatedList(Runtime& runtime, const List& list, int64_t count) {
  std::vector<Value> items;
  if (count > 0 && !list.items.empty()) {
    uint64_t size = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(count), list.items.size() * sizeof(Value), &size)) {
      size = std::numeric_limits<uint64_t>::max() / 2;
    }
    runtime.Touch(size);
    for (int64_t i = 0; i < count; ++i) items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return runtime.NewList(std::move(items), list.kind);
}

const List* SequenceIn(const Value& value) {
  const auto* list = value.If<List*>();
  return list != nullptr && (*list)->kind <= List::kTuple ? *list : nullptr;
}

Value Product(Runtime& runtime, const Value& left, const Value& right) {
  const Value& thing = IsWhole(right) ? left : right;
  const Value& count = IsWhole(right) ? right : left;
  if (IsWhole(count)) {
    if (const auto* text = thing.If<Text>()) return Repeated(runtime, *text, ToInt(count));
    if (const List* list = SequenceIn(thing)) return RepeatedList(runtime, *list, ToInt(count));
  }
  FailOperands(runtime, BinaryExpr::kMultiply, left, right);
}

// The bounds of a slice of `size` members, as Python counts them.
struct Bounds {
  int64_t start, stop, step;
};

int64_t BoundOr(Runtime& runtime, const Value& value, int64_t missing) {
  if (value.IsNone() || value.IsUndefined()) return missing;
  if (!IsWhole(value)) runtime.Fail("the bounds of a slice must be whole numbers, not '{}'", TypeName(value));
  return ToInt(value);
}

Bounds ResolveBounds(Runtime& runtime, int64_t size, const Value& start, const Value& stop,
                     const Value& step) {
  Bounds bounds{};
  bounds.step = BoundOr(runtime, step, 1);
  if (bounds.step == 0) runtime.Fail("the step of a slice cannot be 0");
  bounds.step = std::max(bounds.step, -std::numeric_limits<int64_t>::max());
  const bool backward = bounds.step < 0;
  const auto clamp = [&](int64_t i) {
    if (i < 0) i = std::max(i, -size - 1) + size;
    return std::clamp<int64_t>(i, backward ? -1 : 0, backward ? size - 1 : size);
  };
  bounds.start =
      start.IsNone() || start.IsUndefined() ? (backward ? size - 1 : 0) : clamp(BoundOr(runtime, start, 0));
  bounds.stop =
      stop.IsNone() || stop.IsUndefined() ? (backward ? -1 : size) : clamp(BoundOr(runtime, stop, 0));
  return bounds;
}

template <typename Take>
void WalkSlice(const Bounds& bounds, Take&& take) {
  int64_t i = bounds.start;
  while (bounds.step > 0 ? i < bounds.stop : i > bounds.stop) {
    take(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, bounds.step, &i)) break;
  }
}

Value SliceOfText(Runtime& runtime, const Text& text, const Value& start, const Value& stop,
                  const Value& step) {
  runtime.Touch(text.Size());
  const std::string_view bytes = text.View();
  const Bounds bounds =
      ResolveBounds(runtime, static_cast<int64_t>(CountCodePoints(bytes)), start, stop, step);
  if (bounds.step == 1) {
    const size_t begin = ByteOfCodePoint(bytes, static_cast<size_t>(bounds.start));
    const size_t length = static_cast<size_t>(std::max<int64_t>(bounds.stop - bounds.start, 0));
    return text.Slice(begin, begin + ByteOfCodePoint(bytes.substr(begin), length));
  }
  std::vector<size_t> offsets;  // of the characters, and the end
  runtime.Touch(text.Size() * sizeof(size_t));
  for (size_t pos = 0; pos < bytes.size(); pos += CodePointAt(bytes, pos).length) offsets.push_back(pos);
  offsets.push_back(bytes.size());
  TextBuilder builder;
  WalkSlice(bounds, [&](size_t i) { builder.Append(text, offsets[i], offsets[i + 1]); });
  return builder.Take();
}

}  // namespace

Text Repeated(Runtime& runtime, const Text& text, int64_t count) {
  if (count <= 0 || text.Empty()) return Text();
  uint64_t size = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(count), text.Size(), &size)) {
    size = std::numeric_limits<uint64_t>::max() / 2;
  }
  runtime.Touch(size);
  TextBuilder builder;
  for (int64_t i = 0; i < count; ++i) builder.Append(text);
  return builder.Take();
}

Value Sum(Runtime& runtime, const Value& left, const Value& right) {
  if (left.Is<Text>() && right.Is<Text>()) {
    return SumOfTexts(runtime, left.As<Text>(), right.As<Text>());
  }
  const List* a = SequenceIn(left);
  const List* b = SequenceIn(right);
  if (a != nullptr && b != nullptr && a->kind == b->kind) {
    std::vector<Value> items = a->items;
    items.insert(items.end(), b->items.begin(), b->items.end());
    return runtime.NewList(std::move(items), a->kind);
  }
  if (IsWhole(left) && IsWhole(right))
    return WholeNumbers(runtime, BinaryExpr::kAdd, ToInt(left), ToInt(right));
  if (left.IsNumber() && right.IsNumber()) {
    return RealNumbers(runtime, BinaryExpr::kAdd, ToDouble(left), ToDouble(right));
  }
  FailOperands(runtime, BinaryExpr::kAdd, left, right);
}

Value ApplyBinary(Runtime& runtime, BinaryExpr::Op op, const Value& left, const Value& right) {
  if (op == BinaryExpr::kAdd) return Sum(runtime, left, right);
  if (IsWhole(left) && IsWhole(right)) return WholeNumbers(runtime, op, ToInt(left), ToInt(right));
  if (left.IsNumber() && right.IsNumber()) return RealNumbers(runtime, op, ToDouble(left), ToDouble(right));
  if (op == BinaryExpr::kMultiply) return Product(runtime, left, right);
  if (op == BinaryExpr::kModulo && left.Is<Text>()) return PercentFormat(runtime, left.As<Text>(), right);
  FailOperands(runtime, op, left, right);
}

Value Negated(Runtime& runtime, const Value& value) {
  if (IsWhole(value)) return WholeNumbers(runtime, BinaryExpr::kSubtract, 0, ToInt(value));
  if (const auto* number = value.If<double>()) return -*number;
  if (const auto* undefined = value.If<Undefined>()) runtime.FailUndefined(*undefined);
  runtime.Fail("'-' is not supported for '{}'", TypeName(value));
}

bool ApplyCompare(Runtime& runtime, CompareExpr::Op op, const Value& left, const Value& right) {
  const auto is_nan = [](const Value& value) { return value.Is<double>() && std::isnan(value.As<double>()); };
  const bool unordered = is_nan(left) || is_nan(right);
  switch (op) {
    case CompareExpr::kEqual:
      return Equal(runtime, left, right);
    case CompareExpr::kNotEqual:
      return !Equal(runtime, left, right);
    case CompareExpr::kLess:
      return Compare(runtime, left, right, "<") < 0 && !unordered;
    case CompareExpr::kLessEqual:
      return Compare(runtime, left, right, "<=") <= 0 && !unordered;
    case CompareExpr::kGreater:
      return Compare(runtime, left, right, ">") > 0 && !unordered;
    case CompareExpr::kGreaterEqual:
      return Compare(runtime, left, right, ">=") >= 0 && !unordered;
    case CompareExpr::kIn:
      return Contains(runtime, right, left);
    case CompareExpr::kNotIn:
      return !Contains(runtime, right, left);
  }
  return false;
}

Value SliceOf(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
              const Value& step) {
  if (const auto* text = object.If<Text>()) return SliceOfText(runtime, *text, start, stop, step);
  if (const List* list = SequenceIn(object)) {
    const Bounds bounds = ResolveBounds(runtime, static_cast<int64_t>(list->items.size()), start, stop, step);
    std::vector<Value> items;
    WalkSlice(bounds, [&](size_t i) { items.push_back(list->items[i]); });
    return runtime.NewList(std::move(items), list->kind);
  }
  if (const auto* undefined = object.If<Undefined>()) runtime.FailUndefined(*undefined);
  runtime.Fail("'{}' object cannot be sliced", TypeName(object));
}

}  // namespace throng::jinja
