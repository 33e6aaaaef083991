#include "engine/sampling/constraint_cache.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "llm/effort.h"
#include "llm/grammar/grammar.h"

namespace throng::engine {
namespace {

std::string KeyOf(const llm::Constraint& spec) {
  if (!spec.json_schema.empty()) return "s" + spec.json_schema;
  if (!spec.grammar.empty()) return "g" + spec.grammar;
  if (!spec.regex.empty()) return "r" + spec.regex;
  std::string key = "c";
  for (const std::string& choice : spec.choices) key += fmt::format("{}:{}", choice.size(), choice);
  return key;
}

}  // namespace

ConstraintCache::ConstraintCache(std::shared_ptr<const Vocabulary> vocabulary, size_t capacity)
    : vocabulary_(std::move(vocabulary)), capacity_(std::max<size_t>(capacity, 1)) {}

std::shared_ptr<Constraint> ConstraintCache::Get(const llm::Constraint& spec) {
  return Get(KeyOf(spec), [&] { return llm::CompileGrammar(spec); });
}

std::shared_ptr<Constraint> ConstraintCache::Get(const std::string& key,
                                                 const std::function<llm::Grammar()>& make) {
  std::promise<std::shared_ptr<Constraint>> promise;
  Compiled compiled;
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      compiled = recent_.front().compiled;
    } else {
      number = ++last_number_;
      compiled = promise.get_future().share();
      recent_.push_front({key, compiled, number});
      entries_[key] = recent_.begin();
      if (recent_.size() > capacity_) {
        entries_.erase(recent_.back().key);
        recent_.pop_back();
      }
    }
  }
  if (number == 0) return Wait(key, compiled, make);
  try {
    const llm::Effort effort(kMostEffort);
    promise.set_value(std::make_shared<Constraint>(make(), vocabulary_));
  } catch (...) {
    Drop(key, number);
    promise.set_exception(std::current_exception());
  }
  return Result(compiled);
}

// Of this thread's own work.
std::shared_ptr<Constraint> ConstraintCache::Result(const Compiled& compiled) {
  try {
    return compiled.get();
  } catch (const llm::Effort::Spent&) {
    if (llm::Effort::IsLimited()) throw;
    throw MakeError(ErrorCode::kInvalid,
                    "the constraint of an answer needs more than {} steps to compile: make it smaller",
                    kMostEffort);
  }
}

// Of another thread's, which may have had less to spend.
std::shared_ptr<Constraint> ConstraintCache::Wait(const std::string& key, const Compiled& compiled,
                                                  const std::function<llm::Grammar()>& make) {
  const bool is_done = compiled.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  if (!is_done && llm::Effort::IsLimited()) throw llm::Effort::Spent();
  try {
    return compiled.get();
  } catch (const llm::Effort::Spent&) {
    return Get(key, make);
  }
}

void ConstraintCache::Drop(const std::string& key, uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second->number != number) return;
  recent_.erase(found->second);
  entries_.erase(found);
}

}  // namespace throng::engine
