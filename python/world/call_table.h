// Keeps a line for each call of a run, for tables in Python.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "journal/journal.h"
#include "llm/decorators/decorator.h"

namespace throng::python {

class CallTable {
 public:
  struct Row {
    llm::Completion completion;
    std::string function;
    double asked_s;  // on the backend's clock
    double answered_s;
  };
  void Add(Row row) { rows_.push_back(std::move(row)); }
  // The calls of the steps before `step`, as the journal has them.
  void AddEarlier(journal::Journal& journal, sim::Step step);
  // A list of tuples, ordered by step, agent and call; throng.data names their columns.
  pybind11::list Rows();

 private:
  std::vector<Row> rows_;  // in that order up to the last Rows, then in the order of answers
};

// Above everything that answers the agents of a run. Guesses count once they are confirmed.
class TabledLlm final : public llm::Decorator {
 public:
  TabledLlm(std::unique_ptr<llm::Llm> inner, CallTable& table) : Decorator(std::move(inner)), table_(table) {}
  void Submit(llm::Request request) override;
  void Wait(std::vector<llm::Completion>& done, double seconds) override;
  void Confirm(const llm::Request& request, const llm::Completion& completion) override;

 private:
  struct Asked {
    std::string function;
    double at_s;
  };

  CallTable& table_;
  std::unordered_map<uint64_t, Asked> asked_;  // by id
};

}  // namespace throng::python
