// What a journal keeps of calls and their answers.

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/statements.h"
#include "llm/request_digest.h"

namespace throng::journal {

namespace {

constexpr llm::FinishReason kFinishReasons[] = {  // indexed by the stored number
    llm::FinishReason::kStop, llm::FinishReason::kLength, llm::FinishReason::kError,
    llm::FinishReason::kFailed, llm::FinishReason::kUnknown};

ErrorCode ErrorCodeOf(std::string_view name) {
  for (const ErrorCode code : {ErrorCode::kInvalid, ErrorCode::kCorrupt, ErrorCode::kUnsupported,
                               ErrorCode::kExhausted, ErrorCode::kBadAnswer, ErrorCode::kIo}) {
    if (ErrorCodeName(code) == name) return code;
  }
  return ErrorCode::kUnavailable;
}

template <typename Value>
void BindOrNull(Statement& statement, bool given, const Value& value) {
  if (given) {
    statement.Bind(value);
  } else {
    statement.BindNull();
  }
}

}  // namespace

std::optional<JournaledAnswer> Journal::FindAnswer(const llm::CallKey& key) {
  Statement& find = statements_->find_answer;
  find.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
  std::optional<JournaledAnswer> answer;
  while (find.Step()) {
    answer.emplace();
    answer->digest = find.GetDigest(0);
    llm::Completion& completion = answer->completion;
    completion.key = key;
    completion.finish = kFinishReasons[std::clamp(find.Int(1), int64_t{0}, int64_t{4})];
    completion.text = find.Text(2);
    if (completion.finish == llm::FinishReason::kError) {
      completion.error = Error(ErrorCodeOf(find.Text(10)), std::exchange(completion.text, {}));
    }
    completion.prompt_tokens = static_cast<int>(find.Int(3));
    completion.output_tokens = static_cast<int>(find.Int(4));
    completion.cached_prompt_tokens = static_cast<int>(find.Int(5));
    completion.attempts = static_cast<int>(find.Int(6));
    completion.spent_prompt_tokens = static_cast<int>(find.Int(7));
    completion.spent_output_tokens = static_cast<int>(find.Int(8));
    completion.served_by = find.Text(9);
    completion.spent_cached_tokens = static_cast<int>(find.Int(12));
    answer->is_of_this_session = session_ != 0 && find.Int(11) == session_;
  }
  return answer;
}

std::vector<AnsweredCall> Journal::CallsBefore(sim::Step step) const {
  Statement select(*database_,
                   "SELECT step, agent, call, function, issued_s, arrived_s FROM answers WHERE step < ? "
                   "ORDER BY step, agent, call");
  select.Bind(int64_t{step});
  std::vector<AnsweredCall> calls;
  while (select.Step()) {
    AnsweredCall& call = calls.emplace_back();
    call.key.step = static_cast<int32_t>(select.Int(0));
    call.key.agent = static_cast<uint32_t>(select.Int(1));
    call.key.call = static_cast<uint32_t>(select.Int(2));
    call.function = select.Text(3);
    call.issued_s = select.Double(4);
    call.arrived_s = select.Double(5);
  }
  return calls;
}

AskedCall Journal::AddQuestion(const llm::Request& request) {
  Touch();
  AskedCall asked;
  asked.function = request.function;
  asked.digest = llm::DigestOfRequest(request);
  asked.kind = request.kind;
  asked.effect = request.effect;
  asked.settings = statements_->questions.SettingsOf(request);
  for (const llm::UsedMemory& memory : request.memories) {
    asked.memories.push_back({memory.step, memory.number,
                              keep_prompts_ ? statements_->questions.ListParts(memory.text) : std::string()});
  }
  if (!keep_prompts_) return asked;
  asked.system = statements_->questions.ListParts(request.system);
  asked.prompt = statements_->questions.ListParts(request.prompt);
  return asked;
}

void Journal::AddAnswer(const llm::Completion& completion, const AskedCall& asked, double issued_s,
                        double arrived_s) {
  Touch();
  Statement& add = statements_->add_answer;
  const llm::CallKey& key = completion.key;
  add.Bind(int64_t{key.step})
      .Bind(int64_t{key.agent})
      .Bind(int64_t{key.call})
      .Bind(std::string_view(asked.function))
      .Bind(asked.digest);
  const auto finish = std::find(std::begin(kFinishReasons), std::end(kFinishReasons), completion.finish);
  THRONG_CHECK(finish != std::end(kFinishReasons));
  add.Bind(int64_t{finish - std::begin(kFinishReasons)});
  add.Bind(completion.error ? std::string_view(completion.error->what()) : completion.text);
  add.Bind(int64_t{completion.prompt_tokens}).Bind(int64_t{completion.output_tokens});
  add.Bind(int64_t{completion.cached_prompt_tokens}).Bind(int64_t{completion.attempts});
  add.Bind(int64_t{completion.spent_prompt_tokens}).Bind(int64_t{completion.spent_output_tokens});
  add.Bind(issued_s).Bind(arrived_s);
  const auto bind_or_null = [&add](bool given, const auto& value) { BindOrNull(add, given, value); };
  bind_or_null(session_ > 0, session_);
  const bool by_server = !completion.served_by.empty();
  bind_or_null(by_server, by_server ? statements_->questions.ServerOf(completion.served_by) : 0);
  bind_or_null(asked.settings > 0, asked.settings);
  bind_or_null(!asked.system.empty(), std::string_view(asked.system));
  bind_or_null(!asked.prompt.empty(), std::string_view(asked.prompt));
  const bool failed = completion.error.has_value();
  bind_or_null(failed, std::string_view(failed ? ErrorCodeName(completion.error->Code()) : ""));
  add.Run();
  if (completion.spent_cached_tokens > 0) {
    Statement& cached = statements_->add_spent_cached;
    cached.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
    cached.Bind(int64_t{completion.spent_cached_tokens}).Run();
  }
  if (asked.kind != llm::Kind::kModel && asked.effect != llm::Effect::kAtCommit) WriteIntention(key, asked);
  for (size_t i = 0; i < asked.memories.size(); ++i) {  // in the same transaction: no Touch
    const AskedCall::Memory& memory = asked.memories[i];
    Statement& use = statements_->add_used_memory;
    use.Bind(int64_t{key.step})
        .Bind(int64_t{key.agent})
        .Bind(int64_t{key.call})
        .Bind(static_cast<int64_t>(i));
    use.Bind(memory.made);
    BindOrNull(use, memory.number >= 0, memory.number);
    BindOrNull(use, !memory.text.empty(), std::string_view(memory.text));
    use.Run();
  }
}

}  // namespace throng::journal
