#include "python/world/reporter.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "python/convert/convert.h"
#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

Reporter::Reporter(const PythonWorld& world, Failure& failure, py::object collect, sim::Step every,
                   journal::Journal* journal)
    : world_(world), failure_(failure), collect_(std::move(collect)), every_(every), journal_(journal) {
  for (sim::AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    agents_.push_back(world.StartsPresent(agent)
                          ? world.MakeAgent(agent, world.StartBody(agent), world.StartMind(agent), py::none())
                          : py::object());
  }
}

void Reporter::OnCommit(const sim::CommitRecord& record) {
  Changes& changes = ahead_[record.step];
  changes.agents.insert(changes.agents.end(), record.members.begin(), record.members.end());
  changes.born.insert(changes.born.end(), record.born.begin(), record.born.end());
  changes.cells.insert(changes.cells.end(), record.cells.begin(), record.cells.end());
  changes.events.insert(changes.events.end(), record.events.begin(), record.events.end());
}

void Reporter::OnStep(sim::Step step, const Digest&) {
  Changes changes;
  if (auto node = ahead_.extract(step)) changes = std::move(node.mapped());
  for (const sim::MemberCommit& agent : changes.agents) SetAgent(agent, true);
  for (const sim::MemberCommit& agent : changes.born) SetAgent(agent, false);
  for (const sim::CellWrite& cell : changes.cells) SetCell(cell);
  if ((step + 1) % every_ == 0) Collect(step, changes.events);
}

void Reporter::OnIntervention(const sim::InterventionRecord& record) {
  for (const sim::MemberCommit& agent : record.agents) SetAgent(agent, false);
  for (const sim::CellWrite& cell : record.cells) SetCell(cell);
}

void Reporter::SetAgent(const sim::MemberCommit& agent, bool may_be_same) {
  py::object& kept = agents_[agent.id];
  if (agent.removed) {
    kept = {};
  } else if (!may_be_same || agent.body_changed || agent.mind_changed) {
    kept = world_.MakeAgent(agent.id, agent.body, agent.mind, py::none());
  }
}

void Reporter::SetCell(const sim::CellWrite& cell) {
  const py::object pos = world_.MakePos(cell.pos);
  if (!cell.value.empty()) {
    cells_[pos] = MakeText(cell.value);
  } else if (cells_.contains(pos)) {
    PyDict_DelItem(cells_.ptr(), pos.ptr());
  }
}

void Reporter::Keep(sim::Step step, const py::object& measured) {
  if (journal_ == nullptr) return;
  using Row = std::tuple<std::optional<sim::AgentId>, std::string, journal::DataValue>;
  for (const py::handle item : measured) {
    const auto& [agent, name, value] =
        CastTo<Row>(item, "what a reporter returned", "None, a str, or a number of 64 bits at most");
    journal_->AddDatum(step, agent, name, value);
  }
}

void Reporter::Collect(sim::Step step, std::vector<sim::Event>& events) {
  // One commit holds all of an agent's events of a step, in order.
  std::stable_sort(events.begin(), events.end(),
                   [](const sim::Event& a, const sim::Event& b) { return a.agent < b.agent; });
  try {
    py::list agents;
    for (const py::object& agent : agents_) {
      if (agent) agents.append(agent);
    }
    py::list lines;
    for (const sim::Event& event : events) {
      lines.append(py::make_tuple(step, event.agent, MakeText(event.kind), MakeText(event.text)));
    }
    Keep(step, collect_(step, agents, cells_, lines));
  } catch (...) {
    failure_.Keep(fmt::format("reporters, step {}", step));
  }
}

}  // namespace throng::python
