// The operators of expressions on values, as Python defines them.
#pragma once

#include <optional>

#include "jinja/ast.h"
#include "jinja/runtime.h"
#include "jinja/value.h"

namespace throng::jinja {

// All fail for operands that the operator does not know, and for whole numbers beyond 64 bits.
Value ApplyBinary(Runtime& runtime, BinaryExpr::Op op, const Value& left, const Value& right);
Value Negated(Runtime& runtime, const Value& value);
bool ApplyCompare(Runtime& runtime, CompareExpr::Op op, const Value& left, const Value& right);

// object[start:stop:step]; a bound that is not set is left out.
Value SliceOf(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
              const Value& step);

// text * count
Text Repeated(Runtime& runtime, const Text& text, int64_t count);

// left + right
Value Sum(Runtime& runtime, const Value& left, const Value& right);

}  // namespace throng::jinja
