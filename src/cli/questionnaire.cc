#include "cli/questionnaire.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/interventions.h"
#include "app/scenario.h"
#include "base/error.h"
#include "studies/mean_interval.h"
#include "town/mind/interview.h"
#include "town/mind/questions.h"

namespace throng::cli {
namespace {

using Json = nlohmann::ordered_json;

// Calls of a step are numbered from 0; a question from outside is numbered far from them.
constexpr uint32_t kInterviewCall = 1u << 30;
constexpr double kConfidence = 0.95;
constexpr const char* kAll = "all";

// What is kept from everybody in one round of questions.
struct Condition {
  std::string name;  // "full memory", "without reflections,plans"
  town::Hidden hidden;
};

struct Answer {
  const std::string* journal;
  uint64_t seed;
  std::string agent;
  sim::Step step;
  std::string time;
  const Condition* condition;
  const town::Question* question;
  std::string text;
  std::optional<int> score;
};

Condition ParseCondition(const std::string& text) {
  Condition condition = {"without " + text, {}};
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string kind = text.substr(begin, end - begin);
    bool* const hidden = kind == "observations"  ? &condition.hidden.observations
                         : kind == "reflections" ? &condition.hidden.reflections
                         : kind == "plans"       ? &condition.hidden.plans
                                                 : nullptr;
    if (hidden == nullptr) {
      throw MakeError(
          ErrorCode::kInvalid,
          "--without {}: found {:?}, allowed: observations, reflections and plans, joined by commas", text,
          kind);
    }
    *hidden = true;
    begin = end + 1;
  }
  return condition;
}

// The people of one run at one moment; an empty one is the last of the journal.
class Interviewed {
 public:
  Interviewed(const std::string& path, const std::string& moment, const std::vector<std::string>& agents,
              app::Simulation simulation, const app::GivenFlags& given)
      : path_(path), simulation_(std::move(simulation)), journal_(journal::Journal::OpenToRead(path)) {
    scenario_ = LoadRun(*journal_, given, simulation_);
    if (scenario_.town == nullptr) {
      throw MakeError(ErrorCode::kInvalid, "journal {}: its world is {}, allowed: a town", path,
                      scenario_.world->Name());
    }
    step_ = moment.empty() ? journal_->NumSteps() : app::ParseMoment(moment, scenario_);
    minds_ = town::MindsAt(Town(), *journal_, step_);
    for (const std::string& name : agents) agents_.push_back(Town().FindAgent(name));
    for (sim::AgentId agent = 0; agents_.size() < minds_.size() && agents.empty(); ++agent) {
      agents_.push_back(agent);
    }
  }

  std::vector<Answer> Ask(const std::vector<Condition>& conditions,
                          const std::vector<town::Question>& questions) {
    std::unique_ptr<llm::Llm> llm = app::MakeBackend(simulation_);
    embed_ = app::EmbedNowBy(app::MakeEmbedder(simulation_, *llm));
    std::vector<Answer> answers;
    std::vector<llm::Request> requests;
    for (const Condition& condition : conditions) {
      for (const sim::AgentId agent : agents_) {
        for (const town::Question& question : questions) {
          requests.push_back(
              Town().Interview(agent, minds_[agent], step_, question.text, condition.hidden, embed_));
          requests.back().key = {.agent = agent, .step = step_};
          answers.push_back({&path_, journal_->GetSeeds().first, Town().AgentName(agent), step_,
                             Town().ClockAt(step_), &condition, &question, "", std::nullopt});
        }
      }
    }
    std::vector<std::string> texts =
        AskBackend(simulation_.limits, simulation_.llm, std::move(llm), std::move(requests));
    for (size_t i = 0; i < answers.size(); ++i) answers[i].text = std::move(texts[i]);
    return answers;
  }

  void Judge(const std::string& judge, std::vector<Answer>& answers) const {
    std::vector<llm::Request> requests;
    for (const Answer& answer : answers) {
      const sim::AgentId agent = Town().FindAgent(answer.agent);
      requests.push_back(
          Town().Judge(agent, minds_[agent], step_, answer.question->text, answer.text, embed_));
      requests.back().key = {.agent = agent, .step = step_};
    }
    app::Simulation simulation = simulation_;
    simulation.llm = judge;
    simulation.model_for.clear();
    const std::vector<std::string> scores =
        AskBackend(simulation.limits, judge, app::MakeBackend(simulation), std::move(requests));
    for (size_t i = 0; i < answers.size(); ++i) answers[i].score = scores[i][0] - '0';
  }

 private:
  const town::Town& Town() const { return *scenario_.town; }

  const std::string& path_;
  app::Simulation simulation_;
  std::unique_ptr<journal::Journal> journal_;
  app::Scenario scenario_;
  sim::Step step_ = 0;
  std::vector<sim::MindPtr> minds_;
  std::vector<sim::AgentId> agents_;
  town::EmbedNow embed_;
};

// A row of the table of scores.
struct Row {
  const Condition* condition;
  std::string time;  // empty: each run's last moment
  auto operator<=>(const Row&) const = default;
  std::string Name() const { return condition->name + (time.empty() ? "" : ", " + time); }
};

// By row and category, and "all", each run's mean score.
using RunMeans = std::map<std::pair<Row, std::string>, std::vector<double>>;

RunMeans MeansOf(const std::vector<Answer>& answers, bool by_time) {
  std::map<std::pair<Row, std::string>, std::map<const std::string*, std::pair<double, int>>> sums;
  for (const Answer& answer : answers) {
    const Row row = {answer.condition, by_time ? answer.time : ""};
    for (const std::string& category : {answer.question->category, std::string(kAll)}) {
      auto& [sum, count] = sums[{row, category}][answer.journal];
      sum += *answer.score;
      ++count;
    }
  }
  RunMeans means;
  for (const auto& [key, runs] : sums) {
    for (const auto& [journal, run] : runs) means[key].push_back(run.first / run.second);
  }
  return means;
}

std::vector<std::string> CategoriesOf(const std::vector<town::Question>& questions) {
  std::vector<std::string> categories;
  for (const town::Question& question : questions) {
    if (std::find(categories.begin(), categories.end(), question.category) == categories.end()) {
      categories.push_back(question.category);
    }
  }
  categories.emplace_back(kAll);
  return categories;
}

// In order of conditions, then as first met in the answers.
std::vector<Row> RowsOf(const std::vector<Answer>& answers, bool by_time) {
  std::vector<Row> rows;
  for (const Answer& answer : answers) {
    const Row row = {answer.condition, by_time ? answer.time : ""};
    if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.condition < b.condition; });
  return rows;
}

void PrintScores(const RunMeans& means, const std::vector<Row>& rows,
                 const std::vector<std::string>& categories) {
  fmt::print("{:<40}", "score, 1 to 5");
  for (const std::string& category : categories) fmt::print(" {:>20}", category);
  fmt::print("\n");
  for (const Row& row : rows) {
    fmt::print("{:<40}", row.Name());
    for (const std::string& category : categories) {
      const studies::MeanInterval mean = studies::MeanWithInterval(means.at({row, category}), kConfidence);
      const std::string interval = mean.low ? fmt::format(" ({:.2f} to {:.2f})", *mean.low, *mean.high) : "";
      fmt::print(" {:>20}", fmt::format("{:.2f}{}", mean.mean, interval));
    }
    fmt::print("\n");
  }
}

Json ScoresJson(const RunMeans& means) {
  Json list = Json::array();
  for (const auto& [key, values] : means) {
    const auto& [row, category] = key;
    const studies::MeanInterval mean = studies::MeanWithInterval(values, kConfidence);
    Json entry = {{"condition", row.condition->name},
                  {"category", category},
                  {"runs", values.size()},
                  {"mean", mean.mean}};
    if (!row.time.empty()) entry["time"] = row.time;
    if (mean.low) entry["interval"] = {*mean.low, *mean.high};
    list.push_back(entry);
  }
  return list;
}

Json AnswerJson(const Answer& answer) {
  Json json = {{"journal", *answer.journal},
               {"seed", answer.seed},
               {"agent", answer.agent},
               {"step", answer.step},
               {"time", answer.time},
               {"condition", answer.condition->name},
               {"category", answer.question->category},
               {"question", answer.question->text},
               {"answer", answer.text}};
  if (answer.score) json["score"] = *answer.score;
  return json;
}

void PrintCsv(const std::vector<Answer>& answers) {
  const auto cell = [](const Json& value) {
    if (!value.is_string()) return value.dump();
    std::string text = value.get<std::string>();
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, "\"");
    return "\"" + text + "\"";
  };
  fmt::print("journal,seed,agent,step,time,condition,category,question,answer,score\n");
  for (const Answer& answer : answers) {
    std::string line;
    const Json json = AnswerJson(answer);
    for (const auto& [key, value] : json.items()) line += (line.empty() ? "" : ",") + cell(value);
    fmt::print("{}{}\n", line, answer.score ? "" : ",");
  }
}

void PrintAnswers(const std::vector<Answer>& answers) {
  for (const Answer& answer : answers) {
    fmt::print("{} {}, {}, {}, {}: {} {}\n", *answer.journal, answer.agent, answer.time,
               answer.condition->name, answer.question->category, answer.question->text, answer.text);
  }
}

}  // namespace

std::vector<std::string> AskBackend(const app::Limits& limits, const std::string& backend_name,
                                    std::unique_ptr<llm::Llm> backend, std::vector<llm::Request> requests) {
  const std::unique_ptr<llm::Llm> asked = app::WithAttempts(limits, std::move(backend));
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].id = i + 1;
    requests[i].key.call = kInterviewCall + static_cast<uint32_t>(i);
    requests[i].priority = requests[i].key.step;
    asked->Submit(std::move(requests[i]));
  }
  std::vector<std::string> texts(requests.size());
  for (size_t received = 0; received < texts.size();) {
    std::vector<llm::Completion> done;
    asked->Wait(done);
    if (done.empty()) throw MakeError(ErrorCode::kUnavailable, "--llm {}: no answer came", backend_name);
    for (llm::Completion& completion : done) {
      if (completion.error) throw *completion.error;
      texts[completion.key.call - kInterviewCall] = std::move(completion.text);
    }
    received += done.size();
  }
  return texts;
}

app::Scenario LoadRun(const journal::Journal& journal, const app::GivenFlags& given,
                      app::Simulation& simulation) {
  const std::string embed = simulation.embed;
  const auto given_of_run = [&](const std::string& flag) { return flag != "--embed" && given(flag); };
  app::FillFromManifest(journal, given_of_run, simulation);
  app::Scenario scenario = app::LoadScenario(simulation);
  if (!embed.empty()) simulation.embed = embed;
  return scenario;
}

void AskQuestionnaire(const Questionnaire& questionnaire, const app::Simulation& simulation,
                      const app::GivenFlags& given) {
  const std::vector<town::Question> questions = town::ReadQuestions(questionnaire.questions);
  std::vector<Condition> conditions = {{"full memory", {}}};
  for (const std::string& text : questionnaire.without) conditions.push_back(ParseCondition(text));
  std::vector<std::string> moments = questionnaire.moments;
  if (moments.empty()) moments.emplace_back();
  std::vector<Answer> answers;
  for (const std::string& path : questionnaire.journals) {
    for (const std::string& moment : moments) {
      Interviewed people(path, moment, questionnaire.agents, simulation, given);
      std::vector<Answer> own = people.Ask(conditions, questions);
      if (!questionnaire.judge.empty()) people.Judge(questionnaire.judge, own);
      std::move(own.begin(), own.end(), std::back_inserter(answers));
    }
  }
  const bool by_time = moments.size() > 1;
  const RunMeans means = questionnaire.judge.empty() ? RunMeans() : MeansOf(answers, by_time);
  if (questionnaire.json) {
    Json json = {
        {"questions", questionnaire.questions}, {"scores", ScoresJson(means)}, {"answers", Json::array()}};
    for (const Answer& answer : answers) json["answers"].push_back(AnswerJson(answer));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else if (questionnaire.csv) {
    PrintCsv(answers);
  } else if (questionnaire.judge.empty()) {
    PrintAnswers(answers);
  } else {
    PrintScores(means, RowsOf(answers, by_time), CategoriesOf(questions));
  }
}

}  // namespace throng::cli
