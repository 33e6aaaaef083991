#include "python/module/outcome.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <tuple>

#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

Outcome::Outcome(const PythonWorld& world) : world_(world) {
  for (sim::AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    agents_.push_back({world.StartBody(agent), world.StartMind(agent), world.StartsPresent(agent)});
  }
}

void Outcome::OnSnapshot(const sim::Snapshot& from) {
  for (sim::AgentId id = 0; id < agents_.size(); ++id) {
    const sim::Snapshot::Agent& agent = from.agents[id];
    if (agent.was_present) agents_[id] = {agent.body, agent.mind, agent.present};
  }
  for (const sim::CellWrite& cell : from.cells) cells_[cell.pos] = cell.value;
}

void Outcome::AddEarlier(const std::vector<journal::EventRow>& events) {
  for (const journal::EventRow& row : events) {
    events_.push_back({static_cast<sim::Step>(row.step),
                       {static_cast<sim::AgentId>(row.agent), row.kind, row.text,
                        static_cast<int>(row.call.value_or(-1))}});
  }
}

void Outcome::OnCommit(const sim::CommitRecord& record) {
  for (const sim::MemberCommit& member : record.members) {
    if (!member.body_changed && !member.mind_changed && !member.removed) continue;
    agents_[member.id] = {member.body, member.mind, !member.removed};
  }
  for (const sim::MemberCommit& born : record.born) agents_[born.id] = {born.body, born.mind, true};
  for (const sim::CellWrite& cell : record.cells) cells_[cell.pos] = cell.value;
  for (const sim::Event& event : record.events) events_.push_back({record.step, event});
}

void Outcome::OnIntervention(const sim::InterventionRecord& record) {
  for (const sim::MemberCommit& agent : record.agents)
    agents_[agent.id] = {agent.body, agent.mind, !agent.removed};
  for (const sim::CellWrite& cell : record.cells) cells_[cell.pos] = cell.value;
}

py::list Outcome::Agents() const {
  py::list agents;
  for (sim::AgentId id = 0; id < agents_.size(); ++id) {
    agents.append(world_.MakeAgent(id, agents_[id].body, agents_[id].mind, py::none(), agents_[id].present));
  }
  return agents;
}

py::dict Outcome::Cells() const {
  py::dict cells;
  for (const auto& [pos, text] : cells_) {
    if (!text.empty()) cells[world_.MakePos(pos)] = MakeText(text);
  }
  return cells;
}

py::object Outcome::MakeEvent(const StepEvent& event) {
  const py::object event_class = py::module_::import("throng.runs").attr("Event");
  return event_class(event.step, event.event.agent, MakeText(event.event.kind), MakeText(event.event.text));
}

void Outcome::SortEvents() {
  const auto before = [](const StepEvent& a, const StepEvent& b) {
    return std::tie(a.step, a.event.agent) < std::tie(b.step, b.event.agent);
  };
  const auto fresh = events_.begin() + static_cast<std::ptrdiff_t>(num_sorted_);
  // One commit holds all of an agent's events of a step, in order.
  std::stable_sort(fresh, events_.end(), before);
  // In a run that halts at each step, new events are later than all before.
  if (fresh != events_.begin() && fresh != events_.end() && before(*fresh, *std::prev(fresh))) {
    std::inplace_merge(events_.begin(), fresh, events_.end(), before);
  }
  num_sorted_ = events_.size();
}

py::list Outcome::EventsOf(sim::Step step) {
  SortEvents();
  const auto before = [](const StepEvent& event, sim::Step than) { return event.step < than; };
  py::list events;
  for (auto at = std::lower_bound(events_.begin(), events_.end(), step, before);
       at != events_.end() && at->step == step; ++at) {
    events.append(MakeEvent(*at));
  }
  return events;
}

void Outcome::AddTo(py::dict& result) {
  SortEvents();
  py::list events;
  for (const StepEvent& event : events_) events.append(MakeEvent(event));
  result["agents"] = Agents();
  result["cells"] = Cells();
  result["events"] = events;
}

py::dict DescribeRun(const sim::RunResult& result, sim::Mode mode) {
  py::list step_hashes;
  for (const Digest& hash : result.step_hashes) step_hashes.append(hash.Hex());
  py::dict dict;
  dict["hash"] = result.hash.Hex();
  dict["step_hashes"] = step_hashes;
  dict["mode"] = sim::ModeName(mode);
  const auto add = [&](const char* name, auto value) { dict[name] = value; };
  sim::ForEachField(result.stats, add);
  sim::ForEachGuessField(result.stats, add);
  return dict;
}

}  // namespace throng::python
