// What templates find without defining it: filters, tests, methods and functions. Each is an entry of a
// table.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/value.h"

namespace throng::jinja {

struct Builtin;

// The arguments of a call, by the parameters of what is called.
class Bound {
 public:
  // Fails if they do not fit the parameters.
  Bound(Runtime& runtime, const Builtin& builtin, const Arguments& arguments);

  // The value of a parameter; undefined if it is not given.
  const Value& operator[](size_t i) const { return values_[i]; }
  bool Has(size_t i) const { return !values_[i].IsUndefined(); }
  // Typed; fail for a value of another type.
  int64_t Int(size_t i, int64_t missing) const;
  bool Bool(size_t i, bool missing) const { return Has(i) ? IsTrue(values_[i]) : missing; }
  Text String(size_t i, std::string_view missing = {}) const;
  // What is beyond the parameters, if the list of these ends with "...".
  const Arguments& More() const { return more_; }

 private:
  Runtime& runtime_;
  const Builtin& builtin_;
  std::vector<Value> values_;
  Arguments more_;
};

struct Builtin {
  std::string_view name;
  std::string_view parameters;  // "old new count?": the last may be left out; "...": any others
  // self: what a filter is applied to, a test asks about, a method belongs to; undefined for functions.
  Value (*call)(Runtime& runtime, const Value& self, const Bound& arguments);
};

// Null if there is none of that name.
const Builtin* FindFilter(std::string_view name);
const Builtin* FindTest(std::string_view name);
const Builtin* FindFunction(std::string_view name);
// The method of a string, list, tuple or dict.
const Builtin* FindMethod(const Value& self, std::string_view name);

// Adds what dict(...) and dict.update(...) are given.
void FillDict(Runtime& runtime, Dict& dict, const Arguments& arguments);

Value CallBuiltin(Runtime& runtime, const Builtin& builtin, const Value& self, const Arguments& arguments);

// The tables, one per file.
std::span<const Builtin> TextFilters();
std::span<const Builtin> ListFilters();
std::span<const Builtin> Tests();
std::span<const Builtin> Functions();
std::span<const Builtin> StringMethods();
std::span<const Builtin> ListMethods();
std::span<const Builtin> TupleMethods();
std::span<const Builtin> DictMethods();
std::span<const Builtin> CyclerMethods();

// object.name and object[index] of a template; undefined if there is no such thing. `name` outlives the
// rendering.
Value AttributeOf(Runtime& runtime, const Value& object, std::string_view name);
Value ItemOf(Runtime& runtime, const Value& object, const Value& index);

}  // namespace throng::jinja
