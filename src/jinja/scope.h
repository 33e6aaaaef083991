// Variables by name: each block of a template that has its own sees those around it.
#pragma once

#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/value.h"

namespace throng::jinja {

class Scope final : public Object {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}

  // Null if no scope has it. `looked_at` counts the names that were compared.
  const Value* Find(NameId id, uint64_t& looked_at) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
      for (const auto& [name, value] : scope->values_) {
        if (name == id) return &value;
      }
      looked_at += scope->values_.size();
    }
    return nullptr;
  }

  void Set(NameId id, Value value) {
    for (auto& [name, old] : values_) {
      if (name == id) {
        old = std::move(value);
        return;
      }
    }
    values_.emplace_back(id, std::move(value));
  }

  // Says that a macro made here will look for its variables here and around.
  void Capture() {
    for (Scope* scope = this; scope != nullptr && !scope->captured_; scope = scope->parent_)
      scope->captured_ = true;
  }
  bool IsCaptured() const { return captured_; }
  void Clear() { values_.clear(); }

 private:
  Scope* parent_;
  std::vector<std::pair<NameId, Value>> values_;
  bool captured_ = false;
};

}  // namespace throng::jinja
