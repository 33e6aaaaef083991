#include "base/error.h"
#include "sim/scheduler.h"

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

Mode ParseMode(const std::string& name) {
  for (const Mode mode : {Mode::kSingle, Mode::kLockstep, Mode::kOutOfOrder, Mode::kSpeculative}) {
    if (name == ModeName(mode)) return mode;
  }
  throw MakeError(ErrorCode::kInvalid, "mode {}: it must be single, lockstep, ooo or speculative", name);
}

const char* CouplingName(Coupling coupling) { return coupling == Coupling::kPaper ? "paper" : "versioned"; }

Coupling ParseCoupling(const std::string& name) {
  for (const Coupling coupling : {Coupling::kPaper, Coupling::kVersioned}) {
    if (name == CouplingName(coupling)) return coupling;
  }
  throw MakeError(ErrorCode::kInvalid, "coupling {}: it must be paper or versioned", name);
}

}  // namespace throng::sim
