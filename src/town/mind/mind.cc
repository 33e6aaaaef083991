#include "town/mind/mind.h"

#include <algorithm>

#include "base/error.h"

namespace throng::town {
namespace {

auto LowerBound(const std::vector<Contact>& contacts, sim::AgentId id) {
  return std::lower_bound(contacts.begin(), contacts.end(), id,
                          [](const Contact& contact, sim::AgentId wanted) { return contact.id < wanted; });
}

}  // namespace

const Contact* TownMind::FindContact(sim::AgentId id) const {
  const auto found = LowerBound(*contacts, id);
  return found != contacts->end() && found->id == id ? &*found : nullptr;
}

Contact TownMind::ContactOf(sim::AgentId id) const {
  const Contact* found = FindContact(id);
  return found ? *found : Contact{.id = id};
}

void TownMind::SetContact(const Contact& contact) {
  auto changed = std::make_shared<std::vector<Contact>>(*contacts);
  const auto place = changed->begin() + (LowerBound(*changed, contact.id) - changed->cbegin());
  if (place != changed->end() && place->id == contact.id) {
    *place = contact;
  } else {
    changed->insert(place, contact);
  }
  contacts = std::move(changed);
}

// Everything but the memories is small, and the memories bring their running digest.
std::shared_ptr<const TownMind> TownMind::Seal(TownMind mind) {
  Hasher hasher;
  hasher.Add(mind.memories.GetDigest()).Add(mind.memories.Size());
  for (const PlanEntry& entry : *mind.plan) hasher.Add(entry.hour).Add(entry.place).Add(entry.activity);
  hasher.Add(mind.plan->size());
  for (const Contact& contact : *mind.contacts) {
    hasher.Add(contact.id).Add(contact.considered).Add(contact.talked).Add(contact.saw);
  }
  hasher.Add(mind.contacts->size());
  hasher.Add(mind.awake).Add(mind.planned_day).Add(mind.at).Add(mind.goal).Add(mind.tired);
  hasher.Add(mind.begun).Add(mind.activity).Add(mind.next_act).Add(mind.busy_until).Add(mind.quiet_until);
  if (mind.heard > 0) hasher.Add(mind.heard);
  if (mind.embeddings.Size() > 0) hasher.Add("embeddings").Add(mind.embeddings.GetDigest());
  mind.digest_ = hasher.Finish();
  return std::make_shared<const TownMind>(std::move(mind));
}

void TownMind::Write(ByteWriter& out) const {
  memories.Write(out);
  embeddings.Write(out);
  out.Add(uint64_t{plan->size()});
  for (const PlanEntry& entry : *plan) {
    out.Add(entry.hour).Add(entry.place).Add(std::string_view(entry.activity));
  }
  out.Add(uint64_t{contacts->size()});
  for (const Contact& contact : *contacts) {
    out.Add(contact.id).Add(contact.considered).Add(contact.talked).Add(contact.saw);
  }
  out.Add(awake).Add(planned_day).Add(at).Add(goal).Add(tired).Add(begun).Add(std::string_view(activity));
  out.Add(next_act).Add(busy_until).Add(quiet_until).Add(heard);
}

std::shared_ptr<const TownMind> TownMind::Read(ByteReader& in) {
  TownMind mind;
  mind.memories = MemoryStream::Read(in);
  mind.embeddings = Embeddings::Read(in);
  if (mind.embeddings.Size() > mind.memories.Size()) {
    throw Error(ErrorCode::kCorrupt, "a mind has more embeddings than memories");
  }
  auto plan = std::make_shared<Plan>();
  for (size_t left = in.GetCount(sizeof(PlanEntry::hour)); left > 0; --left) {
    PlanEntry& entry = plan->emplace_back();
    entry.hour = in.Get<int>();
    entry.place = in.Get<PlaceId>();
    entry.activity = in.GetText();
  }
  mind.plan = std::move(plan);
  auto contacts = std::make_shared<std::vector<Contact>>();
  for (size_t left = in.GetCount(sizeof(Contact)); left > 0; --left) {
    Contact& contact = contacts->emplace_back();
    contact.id = in.Get<sim::AgentId>();
    contact.considered = in.Get<sim::Step>();
    contact.talked = in.Get<sim::Step>();
    contact.saw = in.Get<sim::Step>();
  }
  mind.contacts = std::move(contacts);
  mind.awake = in.GetBool();
  mind.planned_day = in.Get<int32_t>();
  mind.at = in.Get<PlaceId>();
  mind.goal = in.Get<PlaceId>();
  mind.tired = in.GetBool();
  mind.begun = in.GetBool();
  mind.activity = in.GetText();
  mind.next_act = in.Get<sim::Step>();
  mind.busy_until = in.Get<sim::Step>();
  mind.quiet_until = in.Get<sim::Step>();
  mind.heard = in.Get<uint32_t>();
  return Seal(std::move(mind));
}

const PlanEntry* CurrentEntry(const Plan& plan, int minute_of_day) {
  const PlanEntry* current = nullptr;
  for (const PlanEntry& entry : plan) {
    if (entry.hour * 60 <= minute_of_day) current = &entry;
  }
  return current;
}

}  // namespace throng::town
