#include "sim/mode.h"

#include "base/error.h"

namespace throng::sim {

const char* ModeName(Mode mode) {
  switch (mode) {
    case Mode::kSingle:
      return "single";
    case Mode::kLockstep:
      return "lockstep";
    case Mode::kOutOfOrder:
      return "ooo";
    case Mode::kSpeculative:
      return "speculative";
  }
  return "unknown";
}

std::vector<std::string> ModeNames() {
  std::vector<std::string> names;
  for (const Mode mode : kModes) names.emplace_back(ModeName(mode));
  return names;
}

Mode ParseMode(const std::string& name) {
  for (const Mode mode : kModes) {
    if (name == ModeName(mode)) return mode;
  }
  throw MakeError(ErrorCode::kInvalid, "mode {}: allowed: {}", name, fmt::join(ModeNames(), " "));
}

}  // namespace throng::sim
