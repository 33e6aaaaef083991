// A run's possible orders of execution. All give the same canonical hash; only the time that a run takes
// differs.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace throng::sim {

enum class Mode {
  kSingle,       // one agent at a time, one call in flight
  kLockstep,     // all agents of a step at once, then a barrier
  kOutOfOrder,   // every cluster as soon as no agent blocks it
  kSpeculative,  // out of order, with calls of blocked steps asked ahead on a guess (sim/guess)
};

inline constexpr std::array kModes = {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative};

const char* ModeName(Mode mode);          // "single", "lockstep", "ooo", "speculative"
std::vector<std::string> ModeNames();     // of kModes, in that order
Mode ParseMode(const std::string& name);  // throws kInvalid for another name

}  // namespace throng::sim
