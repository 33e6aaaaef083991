#include "jinja/loop.h"

#include <algorithm>

#include "jinja/runtime.h"

namespace throng::jinja {

std::optional<Value> Loop::Take() {
  while (pos_ < items_.size()) {
    const Value item = items_[pos_++];
    if (!accepts_ || accepts_(item)) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::Peek() {
  if (!has_next_) {
    next_ = Take();
    has_next_ = true;
  }
  return next_;
}

std::optional<Value> Loop::Next() {
  previous_ = std::move(current_);
  current_ = Peek();
  has_next_ = false;
  ++index0_;
  return current_;
}

int64_t Loop::Length() {
  const int64_t next = Peek().has_value() ? 1 : 0;
  if (accepts_) {
    std::vector<Value> rest;
    while (std::optional<Value> item = Take()) rest.push_back(std::move(*item));
    items_ = std::move(rest);
    pos_ = 0;
    accepts_ = nullptr;
  }
  return index0_ + 1 + next + static_cast<int64_t>(items_.size() - pos_);
}

Value Loop::Recurse(Runtime& runtime, const Arguments& arguments) const {
  if (!recurse_) runtime.Fail("loop(...) needs a loop that is marked recursive");
  if (arguments.positional.size() != 1 || !arguments.named.empty())
    runtime.Fail("loop(...) takes one argument");
  return recurse_(runtime, arguments.positional[0], depth0_ + 1);
}

Value Loop::Attribute(Runtime& runtime, std::string_view name) {
  if (name == "index") return index0_ + 1;
  if (name == "index0") return index0_;
  if (name == "first") return index0_ == 0;
  if (name == "last") return !Peek().has_value();
  if (name == "length") return Length();
  if (name == "revindex") return Length() - index0_;
  if (name == "revindex0") return Length() - index0_ - 1;
  if (name == "depth") return depth0_ + 1;
  if (name == "depth0") return depth0_;
  if (name == "previtem") return previous_.value_or(Undefined{"LoopContext", "previtem"});
  if (name == "nextitem") return Peek().value_or(Undefined{"LoopContext", "nextitem"});
  if (name == "cycle") {
    return runtime.NewFunction("cycle", [this](Runtime& rt, const Arguments& arguments) -> Value {
      if (arguments.positional.empty()) rt.Fail("loop.cycle needs something to cycle through");
      return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
    });
  }
  if (name == "changed") {
    return runtime.NewFunction("changed", [this](Runtime& rt, const Arguments& arguments) -> Value {
      const bool same =
          changed_ && std::ranges::equal(*changed_, arguments.positional,
                                         [&](const Value& a, const Value& b) { return Equal(rt, a, b); });
      if (!same) changed_ = arguments.positional;
      return !same;
    });
  }
  return Undefined{"LoopContext", name};
}

}  // namespace throng::jinja
