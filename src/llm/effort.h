// What compiling a constraint may cost. It is counted in steps, not in time, so that the same schema is taken
// or refused on every machine: states, edges, nodes and alternatives that are made or looked at, 10 to 100 ns
// each.
#pragma once

#include <cstdint>

namespace throng::llm {

// Limits what this thread does until its end.
class Effort {
 public:
  struct Spent {};  // thrown where the steps do not suffice

  // Not more than is left of an Effort around this one.
  explicit Effort(uint64_t steps);
  ~Effort();
  Effort(const Effort&) = delete;
  Effort& operator=(const Effort&) = delete;

  // Nothing happens without a limit.
  static void Spend(uint64_t steps);
  static bool IsLimited();

 private:
  Effort* const around_;
  const uint64_t steps_;
  uint64_t left_;
};

}  // namespace throng::llm
