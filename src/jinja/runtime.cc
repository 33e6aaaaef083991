#include "jinja/runtime.h"

#include <algorithm>

#include "base/error.h"
#include "jinja/loop.h"

namespace throng::jinja {

std::string PositionIn(std::string_view name, std::string_view source, size_t offset) {
  const std::string_view before = source.substr(0, offset);
  const size_t line_begin = before.rfind('\n') + 1;  // 0 if there is none
  return fmt::format("{}, line {}, column {}", name, std::ranges::count(before, '\n') + 1,
                     offset - line_begin + 1);
}

std::string Runtime::Where() const { return PositionIn(name_, source_, offset_); }

void Runtime::Fail(std::string_view message) const {
  throw MakeError(ErrorCode::kInvalid, "{}: {}", Where(), message);
}

void Runtime::FailUndefined(const Undefined& value) const {
  if (value.owner == nullptr) Fail("'{}' is undefined", value.name);
  Fail("'{} object' has no attribute '{}'", value.owner, value.name);
}

void Runtime::FailLimit(std::string_view what, uint64_t limit) const {
  throw MakeError(ErrorCode::kExhausted, "{}: rendering takes more than {} {}", Where(), limit, what);
}

std::string_view Runtime::Keep(std::string_view text) {
  Touch(text.size());
  Kept kept;
  kept.text = text;
  return New(std::move(kept))->text;
}

List* Runtime::NewList(std::vector<Value> items, List::Kind kind) {
  Touch(items.size() * sizeof(Value));
  List list;
  list.kind = kind;
  list.items = std::move(items);
  return New(std::move(list));
}

Dict* Runtime::NewDict() { return New(Dict()); }

Function* Runtime::NewFunction(std::string name, std::function<Value(Runtime&, const Arguments&)> call) {
  Function function;
  function.name = std::move(name);
  function.call = std::move(call);
  return New(std::move(function));
}

Value Runtime::Call(const Value& callee, const Arguments& arguments) {
  if (const auto* function = callee.If<Function*>()) return (*function)->call(*this, arguments);
  if (const auto* loop = callee.If<Loop*>()) return (*loop)->Recurse(*this, arguments);
  if (const auto* undefined = callee.If<Undefined>()) FailUndefined(*undefined);
  Fail("'{}' object is not callable", TypeName(callee));
}

}  // namespace throng::jinja
