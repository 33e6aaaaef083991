#include "journal/people.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "journal/store/clock.h"
#include "journal/store/database.h"

namespace throng::journal {

namespace {

Statement& BindKey(Statement& statement, const llm::CallKey& key) {
  return statement.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
}

}  // namespace

void JournalPeople::Put(const llm::Request& question) {
  journal_.Flush();  // so that the question is there for others at once
  Statement add(journal_.GetDatabase(),
                "INSERT INTO questions VALUES(?,?,?,?,?,NULL) ON CONFLICT DO NOTHING");
  BindKey(add, question.key)
      .Bind(std::string_view(question.prompt))
      .Bind(std::string_view(nlohmann::json(question.constraint.choices).dump()))
      .Run();
  Statement time(journal_.GetDatabase(), "INSERT INTO question_times VALUES(?,?,?,?) ON CONFLICT DO NOTHING");
  BindKey(time, question.key).Bind(std::string_view(NowUtc())).Run();
}

std::optional<std::string> JournalPeople::Take(const llm::Request& question) {
  journal_.Flush();  // an open transaction would lock the others out, and not see what they write
  Statement find(journal_.GetDatabase(), "SELECT answer FROM questions WHERE step=? AND agent=? AND call=?");
  BindKey(find, question.key);
  std::optional<std::string> answer;
  while (find.Step()) {
    if (!find.IsNull(0)) answer = find.Text(0);
  }
  return answer;
}

std::vector<OpenQuestion> OpenQuestions(const Journal& journal) {
  Statement find(
      journal.GetDatabase(),
      "SELECT q.step, q.agent, q.call, q.question, q.choices, coalesce(t.asked, '') FROM questions AS q "
      "LEFT JOIN question_times AS t ON t.step = q.step AND t.agent = q.agent AND t.call = q.call "
      "LEFT JOIN answers AS a ON a.step = q.step AND a.agent = q.agent AND a.call = q.call "
      "WHERE q.answer IS NULL AND a.step IS NULL ORDER BY q.step, q.agent, q.call");
  std::vector<OpenQuestion> open;
  while (find.Step()) {
    open.push_back({{static_cast<uint32_t>(find.Int(1)), static_cast<int32_t>(find.Int(0)),
                     static_cast<uint32_t>(find.Int(2))},
                    find.Text(3),
                    nlohmann::json::parse(find.Text(4)).get<std::vector<std::string>>(),
                    find.Text(5)});
  }
  return open;
}

bool AnswerQuestion(const std::string& place, const OpenQuestion& question, const std::string& answer) {
  const std::vector<std::string>& choices = question.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), answer) == choices.end()) {
    throw MakeError(ErrorCode::kInvalid, "{:?} is no answer, allowed: {}", answer, fmt::join(choices, ", "));
  }
  Database database(place, Access::kBeside);
  Statement set(database,
                "UPDATE questions SET answer=? WHERE step=? AND agent=? AND call=? AND answer IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM answers AS a WHERE a.step = questions.step AND "
                "a.agent = questions.agent AND a.call = questions.call) RETURNING 1");
  set.Bind(std::string_view(answer));
  bool is_set = false;
  BindKey(set, question.key);
  while (set.Step()) is_set = true;
  return is_set;
}

}  // namespace throng::journal
