// Interventions in a journal, and which agents are present.

#include <algorithm>

#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/inbox.h"
#include "journal/store/schema.h"
#include "journal/store/statements.h"

namespace throng::journal {

void Journal::WriteStart(const sim::World& world, const std::vector<sim::Intervention>& interventions) {
  for (sim::AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    const bool present = world.StartsPresent(agent);
    const sim::Body body = present ? world.StartBody(agent) : sim::Body();
    Touch();
    statements_->add_start.Bind(int64_t{agent}).Bind(std::string_view(world.AgentName(agent)));
    statements_->add_start.Bind(int64_t{body.pos.x})
        .Bind(int64_t{body.pos.y})
        .Bind(std::string_view(body.status));
    statements_->add_start.Run();
    if (!present) WritePresence(0, agent, false);
  }
  int64_t id = 0;
  Statement add(*database_, kAddIntervention);
  for (const sim::Intervention& intervention : interventions) {
    Touch();
    add.Bind(++id).Bind(int64_t{intervention.step}).Bind(int64_t{intervention.step});
    add.Bind(std::string_view(intervention.what)).Run();
  }
}

void Journal::WritePresence(sim::Step step, sim::AgentId agent, bool present) {
  Touch();
  statements_->set_presence.Bind(int64_t{step}).Bind(int64_t{agent}).Bind(int64_t{present}).Run();
}

void Journal::Inject(const std::string& place, sim::Step at, const std::string& what) {
  OpenToRead(place);  // throws unless it is a journal
  if (Inbox::Put(place, {at, what})) return;
  Database database(place, Access::kBeside);
  Statement add(database, kAskIntervention);
  add.Bind(int64_t{at}).Bind(std::string_view(what)).Run();
}

std::vector<sim::Intervention> Journal::Interventions() const {
  std::vector<sim::Intervention> interventions;
  Statement known(*database_,
                  "SELECT step, what FROM interventions WHERE step IS NOT NULL ORDER BY step, id");
  while (known.Step()) interventions.push_back({static_cast<sim::Step>(known.Int(0)), known.Text(1)});
  return interventions;
}

std::vector<sim::Intervention> Journal::Take(sim::Step first) {
  Flush();  // an open transaction would not see later rows
  struct New {
    int64_t id;
    sim::Intervention intervention;
  };
  std::vector<New> found;
  Statement select(*database_, "SELECT id, asked, what FROM interventions WHERE step IS NULL ORDER BY id");
  while (select.Step())
    found.push_back({select.Int(0), {static_cast<sim::Step>(select.Int(1)), select.Text(2)}});
  if (found.empty()) return {};
  // In a resumed run, agents have been further than they are now. Later requests must not happen before one
  // that had to wait.
  const std::string passed = database_->TextOf(
      "SELECT max(step) FROM (SELECT coalesce(max(step), -1) + 1 AS step FROM commits UNION ALL "
      "SELECT coalesce(max(step), -1) + 1 FROM answers UNION ALL "
      "SELECT coalesce(max(step), 0) FROM interventions WHERE step > asked) AS passed");
  first = std::max(first, static_cast<sim::Step>(std::stoll(passed)));
  std::vector<sim::Intervention> taken;
  Statement decide(*database_, "UPDATE interventions SET step=? WHERE id=?");
  for (auto& [id, intervention] : found) {
    intervention.step = std::max(intervention.step, first);
    Touch();
    decide.Bind(int64_t{intervention.step}).Bind(id).Run();
    taken.push_back(std::move(intervention));
  }
  Flush();
  return taken;
}

// A resumed run writes the same rows again.
void Journal::OnIntervention(const sim::InterventionRecord& record) {
  const int64_t step = record.step;
  Statement set_body(*database_, kSetBody);
  for (const sim::MemberCommit& agent : record.agents) {
    if (!agent.body_changed) continue;
    if (!agent.removed) {
      Touch();
      set_body.Bind(step).Bind(int64_t{agent.id}).Bind(int64_t{agent.body.pos.x});
      set_body.Bind(int64_t{agent.body.pos.y}).Bind(std::string_view(agent.body.status)).Run();
    }
    WritePresence(record.step, agent.id, !agent.removed);
  }
  Statement set_cell(*database_, kSetCell);
  for (const sim::CellWrite& cell : record.cells) {
    Touch();
    set_cell.Bind(step).Bind(int64_t{cell.pos.x}).Bind(int64_t{cell.pos.y});
    set_cell.Bind(std::string_view(cell.value)).Run();
  }
}

}  // namespace throng::journal
