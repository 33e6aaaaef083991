// Compiled constraints of one vocabulary: a run has few, and they recur in each step.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/sampling/constrain.h"
#include "llm/llm.h"

namespace throng::engine {

// Any thread may call any method. What is being compiled keeps nobody waiting but those who ask for the same.
class ConstraintCache {
 public:
  explicit ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity = 256);

  // A constraint may take about a second to compile: kMostEffort steps. Throws kInvalid if that does not
  // suffice, but llm::Effort::Spent within an effort of the caller's, also where another thread is at it; and
  // as the constructor of Constraint does. What failed is not kept.
  static constexpr uint64_t kMostEffort = 40'000'000;
  std::shared_ptr<Constraint> Get(const llm::Constraint& spec);
  // key: equal for equal grammars.
  std::shared_ptr<Constraint> Get(const std::string& key, const std::function<llm::Grammar()>& make);

 private:
  using Compiled = std::shared_future<std::shared_ptr<Constraint>>;
  struct Entry {
    std::string key;
    Compiled compiled;
    uint64_t number;  // no other entry, also of the past, has it
  };

  static std::shared_ptr<Constraint> Result(const Compiled& compiled);
  std::shared_ptr<Constraint> Wait(const std::string& key, const Compiled& compiled,
                                   const std::function<llm::Grammar()>& make);
  void Drop(const std::string& key, uint64_t number);

  std::shared_ptr<const Vocabulary> vocabulary_;
  size_t capacity_;
  std::mutex mutex_;
  uint64_t last_number_ = 0;  // guarded by mutex_, as are those below
  std::list<Entry> recent_;   // most recent first
  std::unordered_map<std::string, std::list<Entry>::iterator> entries_;
};

}  // namespace throng::engine
