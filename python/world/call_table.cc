#include "python/world/call_table.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "python/llm/completion.h"

namespace py = pybind11;

namespace throng::python {

namespace {

const char* FinishName(llm::FinishReason finish) {
  switch (finish) {
    case llm::FinishReason::kStop:
      return "stop";
    case llm::FinishReason::kLength:
      return "length";
    case llm::FinishReason::kError:
    case llm::FinishReason::kFailed:
      return "failed";
    case llm::FinishReason::kUnknown:
      return "unknown";
    case llm::FinishReason::kCancelled:
      break;
  }
  return "cancelled";
}

}  // namespace

void CallTable::AddEarlier(journal::Journal& journal, sim::Step step) {
  for (const journal::AnsweredCall& call : journal.CallsBefore(step)) {
    std::optional<journal::JournaledAnswer> answer = journal.FindAnswer(call.key);
    if (answer) Add({std::move(answer->completion), call.function, call.issued_s, call.arrived_s});
  }
}

void TabledLlm::Submit(llm::Request request) {
  if (!request.guess) asked_.insert_or_assign(request.id, Asked{request.function, Now()});
  Inner().Submit(std::move(request));
}

void TabledLlm::Wait(std::vector<llm::Completion>& done, double seconds) {
  const size_t begin = done.size();
  Inner().Wait(done, seconds);
  for (size_t i = begin; i < done.size(); ++i) {
    const auto node = asked_.extract(done[i].id);
    if (node.empty() || done[i].finish == llm::FinishReason::kCancelled) continue;
    table_.Add({done[i], std::move(node.mapped().function), node.mapped().at_s, Now()});
  }
}

void TabledLlm::Confirm(const llm::Request& request, const llm::Completion& completion) {
  Inner().Confirm(request, completion);
  table_.Add({completion, request.function, Now(), Now()});
}

py::list CallTable::Rows() {
  const auto place = [](const Row& row) {
    const llm::CallKey& key = row.completion.key;
    return std::tuple(key.step, key.agent, key.call);
  };
  std::sort(rows_.begin(), rows_.end(), [&](const Row& a, const Row& b) { return place(a) < place(b); });
  py::list rows;
  for (const Row& row : rows_) {
    const llm::Completion& completion = row.completion;
    rows.append(
        py::make_tuple(completion.key.step, completion.key.agent, completion.key.call, MakeText(row.function),
                       FinishName(completion.finish),
                       MakeText(completion.error.has_value() ? completion.error->what() : completion.text),
                       completion.prompt_tokens, completion.cached_prompt_tokens, completion.output_tokens,
                       completion.attempts, MakeText(completion.served_by), row.asked_s, row.answered_s));
  }
  return rows;
}

}  // namespace throng::python
