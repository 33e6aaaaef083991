#include "app/record/interventions.h"

#include <charconv>
#include <filesystem>
#include <fstream>

#include "app/simulation.h"
#include "base/error.h"
#include "journal/journal.h"

namespace throng::app {

namespace {

constexpr size_t kLineShown = 60;  // bytes shown of a line that is not an event

sim::Intervention ParseEvent(const std::string& line, const std::string& where, const Scenario& scenario,
                             sim::Step end) {
  const size_t space = line.find(' ');
  if (space == std::string::npos) {
    throw MakeError(ErrorCode::kInvalid, "{}: found {:?}, allowed: TIME WHAT, such as \"09:30 leave Ada\"",
                    where, line.substr(0, kLineShown));
  }
  try {
    sim::Intervention event = {ParseMoment(line.substr(0, space), scenario), line.substr(space + 1)};
    if (event.step >= end) {
      throw MakeError(ErrorCode::kInvalid, "found {}, allowed: before the run ends, step {}",
                      line.substr(0, space), end);
    }
    scenario.world->CheckIntervention(event.what);
    return event;
  } catch (const Error& error) {
    throw MakeError(error.Code(), "{}: {}", where, error.what());
  }
}

}  // namespace

sim::Step ParseMoment(const std::string& text, const Scenario& scenario) {
  if (scenario.town != nullptr && text.find(':') != std::string::npos) return scenario.town->StepAt(text);
  sim::Step step = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, step);
  if (error != std::errc() || end != last || step < 0) {
    throw MakeError(ErrorCode::kInvalid, "time {}: allowed: a step such as 500{}", text,
                    scenario.town != nullptr ? ", or a time such as 09:30" : "");
  }
  return step;
}

std::vector<sim::Intervention> ReadInterventions(const Simulation& simulation, const Scenario& scenario,
                                                 sim::Step end) {
  std::vector<sim::Intervention> events;
  for (const std::string& event : simulation.events) {
    events.push_back(ParseEvent(event, "--event", scenario, end));
  }
  if (simulation.events_file.empty()) return events;
  std::ifstream file(simulation.events_file);
  if (!file || std::filesystem::is_directory(simulation.events_file)) {
    throw MakeError(ErrorCode::kIo, "--events {}: it cannot be read", simulation.events_file);
  }
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string where = fmt::format("--events {}, line {}", simulation.events_file, number);
    if (!line.empty() && line[0] != '#') events.push_back(ParseEvent(line, where, scenario, end));
  }
  return events;
}

void Inject(const std::string& journal, const Simulation& simulation, const Scenario& scenario,
            const std::string& what, sim::Step at) {
  scenario.world->CheckIntervention(what);
  if (at >= simulation.steps) {
    throw MakeError(ErrorCode::kInvalid, "step {}: allowed: before the run ends, step {}", at,
                    simulation.steps);
  }
  if (journal::Journal::OpenToRead(journal)->GetManifest().contains(journal::JournalKeys::kHash)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "journal {}: the run is done, nothing happens in it any more; allowed: one that is not, such as "
        "a fork at an earlier step",
        journal);
  }
  journal::Journal::Inject(journal, at, what);
}

}  // namespace throng::app
