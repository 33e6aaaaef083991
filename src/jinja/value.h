// The values of a template: Python's, as far as templates can meet them. Objects (lists, dicts, ...) belong
// to the heap of one rendering; values point to them, so that, as in Python, all who hold a list see its
// changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/text.h"

namespace throng::jinja {

class Runtime;
struct List;
struct Dict;
struct Namespace;
struct Function;
class Loop;
struct Cycler;

// What a name without a value gives. Printed it is empty; most other uses are errors, which name it.
struct Undefined {
  const char* owner = nullptr;  // type of the object that lacks the attribute; null: a variable
  std::string_view name;        // outlives the rendering
};
struct None {};

class Value {
 public:
  using Variant = std::variant<Undefined, None, bool, int64_t, double, Text, List*, Dict*, Namespace*,
                               Function*, Loop*, Cycler*>;

  Value() = default;
  template <typename T>
  requires std::is_constructible_v<Variant, T> Value(T value) : variant_(std::move(value)) {}
  Value(const char*) = delete;

  template <typename T>
  bool Is() const {
    return std::holds_alternative<T>(variant_);
  }
  template <typename T>
  const T* If() const {
    return std::get_if<T>(&variant_);
  }
  template <typename T>
  const T& As() const {
    return std::get<T>(variant_);
  }
  bool IsUndefined() const { return Is<Undefined>(); }
  bool IsNone() const { return Is<None>(); }
  bool IsNumber() const { return Is<bool>() || Is<int64_t>() || Is<double>(); }
  const Variant& Get() const { return variant_; }

 private:
  Variant variant_;
};

struct Object {
  virtual ~Object() = default;
};

// Python's sequences, and the iterators of its filters.
struct List final : Object {
  enum Kind { kList, kTuple, kView, kGenerator };
  Kind kind = kList;
  const char* view = "";  // kView: "dict_items", ...
  bool is_group = false;  // kTuple: of groupby, whose items have the names grouper and list
  std::vector<Value> items;
};

struct Dict final : Object {
  std::vector<std::pair<Value, Value>> items;  // in order of insertion
  // The values, by what KeyOf gives for their keys; null: not there.
  Value* Find(const std::string& key);
  void Set(const std::string& key_id, Value key, Value value);
  bool Erase(const std::string& key_id);

 private:
  std::unordered_map<std::string, size_t> index_;
};

struct Namespace final : Object {
  std::vector<std::pair<std::string, Value>> items;
  Value* Find(std::string_view name);
  void Set(std::string_view name, Value value);
};

// Arguments of a call, as written.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Text, Value>> named;
};

struct Function final : Object {
  std::string name;
  std::function<Value(Runtime&, const Arguments&)> call;
};

struct Cycler final : Object {
  std::vector<Value> items;
  size_t pos = 0;
};

// Owns the objects of a rendering, cycles among them included.
class Heap {
 public:
  template <typename T>
  T* New(T object = {}) {
    objects_.push_back(std::make_unique<T>(std::move(object)));
    return static_cast<T*>(objects_.back().get());
  }

 private:
  std::vector<std::unique_ptr<Object>> objects_;
};

const char* TypeName(const Value& value);  // as Python: "str", "dict", ...
bool IsTrue(const Value& value);

// What is the same for equal keys of a dict. Throws for values that cannot be keys.
std::string KeyOf(Runtime& runtime, const Value& key);

bool Equal(Runtime& runtime, const Value& a, const Value& b);
// Negative, 0, positive. Throws for values without an order; `op` is for the message.
int Compare(Runtime& runtime, const Value& a, const Value& b, const char* op);
bool Contains(Runtime& runtime, const Value& container, const Value& item);

// bool, int and float as a number; the value must be one.
double ToDouble(const Value& value);

// The members that a `for` visits; uses up generators. Throws for what cannot be iterated.
std::vector<Value> Iterate(Runtime& runtime, const Value& value);
size_t Length(Runtime& runtime, const Value& value);

}  // namespace throng::jinja
