// How far each agent was at moments of a session: commits gathered over a short time, so that the record of a
// fast run is small and that of a slow one exact.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llm/llm.h"
#include "sim/run_observer.h"

namespace throng::journal {

class Moments {
 public:
  struct Row {
    double s;           // on the clock: of the last commit in it
    std::string steps;  // JSON: [agent, steps that it has done, agent, ...]
  };

  explicit Moments(const llm::Llm& clock);  // which must outlive the last Add

  // Returns what was gathered before, if that was long enough ago.
  std::optional<Row> Add(const sim::CommitRecord& record);
  // Returns what is gathered.
  std::optional<Row> Take();

 private:
  const llm::Llm& clock_;
  const double begin_;
  double window_begin_;
  double last_ = 0;
  std::vector<std::pair<sim::AgentId, sim::Step>> done_;
};

}  // namespace throng::journal
