// The variable `loop` of a `for`, which also walks over its members.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "jinja/value.h"

namespace throng::jinja {

class Loop final : public Object {
 public:
  // accepts: the condition of `for ... if`, asked for each member as the loop comes to it; may be empty.
  // recurse: what loop(...) does in a recursive loop; may be empty.
  Loop(std::vector<Value> items, int64_t depth0, std::function<bool(const Value&)> accepts,
       std::function<Value(Runtime&, const Value& items, int64_t depth0)> recurse)
      : items_(std::move(items)),
        depth0_(depth0),
        accepts_(std::move(accepts)),
        recurse_(std::move(recurse)) {}

  // The next member; nothing at the end.
  std::optional<Value> Next();
  // loop.index, ...: undefined for a name that it does not have.
  Value Attribute(Runtime& runtime, std::string_view name);
  Value Recurse(Runtime& runtime, const Arguments& arguments) const;

 private:
  std::optional<Value> Take();
  const std::optional<Value>& Peek();
  int64_t Length();

  std::vector<Value> items_;  // those before pos_ have been taken
  size_t pos_ = 0;
  int64_t depth0_;
  std::function<bool(const Value&)> accepts_;
  std::function<Value(Runtime&, const Value&, int64_t)> recurse_;
  int64_t index0_ = -1;
  std::optional<Value> previous_, current_, next_;  // next_: taken already, if has_next_
  bool has_next_ = false;
  std::optional<std::vector<Value>> changed_;  // what loop.changed() was last asked about
};

}  // namespace throng::jinja
