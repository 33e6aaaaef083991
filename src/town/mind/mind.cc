#include "town/mind/mind.h"

#include <algorithm>

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
  mind.digest_ = hasher.Finish();
  return std::make_shared<const TownMind>(std::move(mind));
}

const PlanEntry* CurrentEntry(const Plan& plan, int minute_of_day) {
  const PlanEntry* current = nullptr;
  for (const PlanEntry& entry : plan) {
    if (entry.hour * 60 <= minute_of_day) current = &entry;
  }
  return current;
}

}  // namespace throng::town
