// What one person of the town knows and intends between two steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/world.h"
#include "town/content/content.h"
#include "town/mind/embeddings.h"
#include "town/mind/memory.h"

namespace throng::town {

struct PlanEntry {
  int hour;
  PlaceId place;
  std::string activity;
};
using Plan = std::vector<PlanEntry>;  // hours ascend

constexpr sim::Step kNever = -1;

// What an agent remembers of its dealings with one other agent.
struct Contact {
  sim::AgentId id;
  sim::Step considered = kNever;  // when it last thought about talking
  sim::Step talked = kNever;
  sim::Step saw = kNever;  // when it last noted seeing the other
};

// A plain value while a step works on it; Seal makes the immutable mind that is committed.
class TownMind : public sim::Mind {
 public:
  MemoryStream memories;
  Embeddings embeddings;  // of the first memories; empty unless the town embeds (recall.h)
  std::shared_ptr<const Plan> plan = std::make_shared<const Plan>();
  std::shared_ptr<const std::vector<Contact>> contacts =
      std::make_shared<const std::vector<Contact>>();  // sorted by id
  bool awake = false;
  int32_t planned_day = -1;
  PlaceId at = 0;        // the place where it was last; on the street, the one it comes from
  PlaceId goal = 0;      // where it wants to be
  bool tired = false;    // it has looked back on the day and goes to bed
  bool begun = false;    // it has begun the activity at the goal
  std::string activity;  // activity at the goal
  sim::Step next_act = 0;
  sim::Step busy_until = 0;   // talks until then
  sim::Step quiet_until = 0;  // looks for no talk until then
  uint32_t heard = 0;         // number of announcements heard

  // Of what Write writes and Read reads; a change of either is another form.
  static constexpr const char* kForm = "town mind 2";

  void Hash(Hasher& hasher) const override { hasher.Add(digest_); }
  void Write(ByteWriter& out) const override;
  static std::shared_ptr<const TownMind> Read(ByteReader& in);  // throws kCorrupt

  const Contact* FindContact(sim::AgentId id) const;
  // A copy of the contact, or a new one.
  Contact ContactOf(sim::AgentId id) const;
  void SetContact(const Contact& contact);

  static std::shared_ptr<const TownMind> Seal(TownMind mind);

 private:
  Digest digest_;
};

// The latest entry that has begun by this minute of the day; nullptr if none.
const PlanEntry* CurrentEntry(const Plan& plan, int minute_of_day);

}  // namespace throng::town
