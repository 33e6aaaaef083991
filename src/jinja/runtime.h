// What a rendering shares: its heap, its budget, the time, and where it is in the template.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace throng::jinja {

// Bounds on one rendering: what a hostile template, or a loop without end, may cost.
struct Limits {
  uint64_t steps = 20'000'000;           // expressions and statements
  uint64_t bytes = uint64_t{512} << 20;  // of text and lists that are made, copied or searched
  int depth = 400;                       // of expressions, blocks and calls inside each other
};

class Runtime {
 public:
  // `source` must outlive it. `name` begins the messages of errors.
  Runtime(std::string_view name, std::string_view source, const Limits& limits,
          std::chrono::local_seconds now)
      : name_(name), source_(source), limits_(limits), now_(now) {}

  // Errors name this byte of the source.
  void SetPosition(size_t offset) { offset_ = offset; }
  // Throws kInvalid: the template's name, line and column, and the message.
  [[noreturn]] void Fail(std::string_view message) const;
  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(std::string_view(fmt::format(format, std::forward<Args>(args)...)));
  }
  // Fails because of a value without a value, naming it.
  [[noreturn]] void FailUndefined(const Undefined& value) const;

  // Pay for work before it is done; throw kExhausted once the budget is spent.
  void Step(uint64_t steps = 1) {
    if ((steps_ += steps) > limits_.steps) FailLimit("steps", limits_.steps);
  }
  void Touch(uint64_t bytes) {
    if ((bytes_ += bytes) > limits_.bytes || bytes > limits_.bytes) FailLimit("bytes of text", limits_.bytes);
  }

  // One level deeper, until it is destroyed.
  class Level {
   public:
    explicit Level(Runtime& runtime) : runtime_(runtime) {
      if (++runtime_.depth_ > runtime_.limits_.depth) {
        --runtime_.depth_;
        runtime_.FailLimit("levels of nesting", static_cast<uint64_t>(runtime_.limits_.depth));
      }
    }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() { --runtime_.depth_; }

   private:
    Runtime& runtime_;
  };

  List* NewList(std::vector<Value> items, List::Kind kind = List::kList);
  Dict* NewDict();
  Function* NewFunction(std::string name, std::function<Value(Runtime&, const Arguments&)> call);
  template <typename T>
  T* New(T object) {
    Touch(sizeof(T) + 16);
    return heap_.New(std::move(object));
  }
  // A copy that lives as long as the heap.
  std::string_view Keep(std::string_view text);

  Value Call(const Value& callee, const Arguments& arguments);
  std::chrono::local_seconds Now() const { return now_; }

 private:
  [[noreturn]] void FailLimit(std::string_view what, uint64_t limit) const;
  std::string Where() const;

  struct Kept final : Object {
    std::string text;
  };

  std::string_view name_;
  std::string_view source_;
  Limits limits_;
  std::chrono::local_seconds now_;
  Heap heap_;
  size_t offset_ = 0;
  uint64_t steps_ = 0;
  uint64_t bytes_ = 0;
  int depth_ = 0;
};

// "chat template, line 3, column 7".
std::string PositionIn(std::string_view name, std::string_view source, size_t offset);

}  // namespace throng::jinja
