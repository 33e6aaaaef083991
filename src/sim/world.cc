#include "sim/world.h"

#include "base/error.h"

namespace throng::sim {

void World::CheckIntervention(const std::string& what) const {
  throw MakeError(ErrorCode::kInvalid, "world {}: it knows no interventions, found {:?}", Name(), what);
}

MindPtr World::ReadMind(AgentId, ByteReader&) const {
  throw MakeError(ErrorCode::kCorrupt, "world {}: minds are not written down", Name());
}

}  // namespace throng::sim
