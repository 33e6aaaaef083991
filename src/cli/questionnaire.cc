#include "cli/questionnaire.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "app/backend.h"
#include "app/embedder.h"
#include "app/record/interventions.h"
#include "app/scenario.h"
#include "base/error.h"
#include "sim/find_agent.h"
#include "studies/mean_interval.h"
#include "town/mind/hidden.h"
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
  std::string lived;  // "reflections,plans": what the run has hidden by then; empty: nothing
  std::string agent;
  sim::Step step;
  std::string time;
  const Condition* condition;
  const town::Question* question;
  std::string text;
  std::optional<int> score;
};

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
    for (const std::string& name : agents)
      agents_.push_back(sim::FindAgent("--agent", name, sim::AgentsOf(Town())));
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
          answers.push_back({&path_, journal_->GetSeeds().first, Lived(), Town().AgentName(agent), step_,
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
  std::string Lived() const {
    if (simulation_.without.empty()) return "";
    return simulation_.without.back().substr(0, simulation_.without.back().rfind('@'));
  }

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
  std::string lived;
  const Condition* condition;
  std::string time;  // empty: each run's last moment
  auto operator<=>(const Row&) const = default;
  std::string Name() const {
    return (lived.empty() ? "" : "lived without " + lived + ", ") + condition->name +
           (time.empty() ? "" : ", " + time);
  }
};

struct RunMean {
  uint64_t seed;
  double score;
};
// By row and category, and "all", each run's mean score.
using RunMeans = std::map<std::pair<Row, std::string>, std::vector<RunMean>>;

RunMeans MeansOf(const std::vector<Answer>& answers, bool by_time) {
  struct Sum {
    uint64_t seed = 0;
    double sum = 0;
    int count = 0;
  };
  std::map<std::pair<Row, std::string>, std::map<const std::string*, Sum>> sums;
  for (const Answer& answer : answers) {
    const Row row = {answer.lived, answer.condition, by_time ? answer.time : ""};
    for (const std::string& category : {answer.question->category, std::string(kAll)}) {
      Sum& run = sums[{row, category}][answer.journal];
      run.seed = answer.seed;
      run.sum += *answer.score;
      ++run.count;
    }
  }
  RunMeans means;
  for (const auto& [key, runs] : sums) {
    for (const auto& [journal, run] : runs) means[key].push_back({run.seed, run.sum / run.count});
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

std::vector<double> ScoresOf(const std::vector<RunMean>& runs) {
  std::vector<double> scores;
  for (const RunMean& run : runs) scores.push_back(run.score);
  return scores;
}

// What each run of a row has more than that of the same seed in another row. Seeds that one of them has not,
// or several times, are left out.
std::vector<double> PairedDifferences(const std::vector<RunMean>& row, const std::vector<RunMean>& other) {
  const auto of_seed = [](const std::vector<RunMean>& runs, uint64_t seed) {
    std::vector<double> scores;
    for (const RunMean& run : runs) {
      if (run.seed == seed) scores.push_back(run.score);
    }
    return scores;
  };
  std::vector<double> differences;
  for (const RunMean& run : row) {
    const std::vector<double> others = of_seed(other, run.seed);
    if (others.size() == 1 && of_seed(row, run.seed).size() == 1)
      differences.push_back(run.score - others[0]);
  }
  return differences;
}

// The row that another one is compared with: the first of its moment.
const Row& BaseOf(const Row& row, const std::vector<Row>& rows) {
  return *std::find_if(rows.begin(), rows.end(), [&](const Row& other) { return other.time == row.time; });
}

// In order of conditions, then as first met in the answers.
std::vector<Row> RowsOf(const std::vector<Answer>& answers, bool by_time) {
  std::vector<Row> rows;
  for (const Answer& answer : answers) {
    const Row row = {answer.lived, answer.condition, by_time ? answer.time : ""};
    if (std::find(rows.begin(), rows.end(), row) == rows.end()) rows.push_back(row);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.condition < b.condition; });
  return rows;
}

std::string MeanText(const std::vector<double>& values, const char* number) {
  if (values.empty()) return "-";
  const studies::MeanInterval mean = studies::MeanWithInterval(values, kConfidence);
  const auto text = [&](double value) { return fmt::format(fmt::runtime(number), value); };
  if (!mean.low) return text(mean.mean);
  return fmt::format("{} ({} to {})", text(mean.mean), text(*mean.low), text(*mean.high));
}

void PrintTable(const char* title, const std::vector<Row>& rows, const std::vector<std::string>& categories,
                const std::function<std::string(const Row&, const std::string&)>& cell) {
  size_t width = std::string_view(title).size();
  for (const Row& row : rows) width = std::max(width, row.Name().size());
  fmt::print("{:<{}}", title, width + 1);
  for (const std::string& category : categories) fmt::print(" {:>22}", category);
  fmt::print("\n");
  for (const Row& row : rows) {
    fmt::print("{:<{}}", row.Name(), width + 1);
    for (const std::string& category : categories) fmt::print(" {:>22}", cell(row, category));
    fmt::print("\n");
  }
}

// The rows as they are, and how the others differ from the first of their moment, by pairs of runs of one
// seed.
void PrintScores(const RunMeans& means, const std::vector<Row>& rows,
                 const std::vector<std::string>& categories) {
  PrintTable("score, 1 to 5", rows, categories, [&](const Row& row, const std::string& category) {
    return MeanText(ScoresOf(means.at({row, category})), "{:.2f}");
  });
  std::vector<Row> compared;
  for (const Row& row : rows) {
    if (row != BaseOf(row, rows)) compared.push_back(row);
  }
  if (compared.empty()) return;
  const std::string title = fmt::format("less {}, by seed", Row{rows[0].lived, rows[0].condition, ""}.Name());
  fmt::print("\n");
  PrintTable(title.c_str(), compared, categories, [&](const Row& row, const std::string& category) {
    return MeanText(PairedDifferences(means.at({row, category}), means.at({BaseOf(row, rows), category})),
                    "{:+.2f}");
  });
}

Json MeanJson(const std::vector<double>& values) {
  if (values.empty()) return Json();
  const studies::MeanInterval mean = studies::MeanWithInterval(values, kConfidence);
  Json json = {{"runs", values.size()}, {"mean", mean.mean}};
  if (mean.low) json["interval"] = {*mean.low, *mean.high};
  return json;
}

// difference: from the first row of the moment, by pairs of runs of one seed.
Json ScoresJson(const RunMeans& means, const std::vector<Row>& rows,
                const std::vector<std::string>& categories) {
  Json list = Json::array();
  for (const Row& row : rows) {
    for (const std::string& category : categories) {
      const std::vector<RunMean>& runs = means.at({row, category});
      Json entry = {{"condition", row.condition->name}, {"lived_without", row.lived}, {"category", category}};
      if (!row.time.empty()) entry["time"] = row.time;
      entry.update(MeanJson(ScoresOf(runs)));
      const Row& base = BaseOf(row, rows);
      if (row != base) entry["difference"] = MeanJson(PairedDifferences(runs, means.at({base, category})));
      list.push_back(entry);
    }
  }
  return list;
}

Json AnswerJson(const Answer& answer) {
  Json json = {{"journal", *answer.journal},
               {"seed", answer.seed},
               {"lived_without", answer.lived},
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
  fmt::print("journal,seed,lived_without,agent,step,time,condition,category,question,answer,score\n");
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

// A small model gives the same score to whatever it reads; its table looks like a finding.
void WarnOfDullJudge(const std::vector<Answer>& answers) {
  const auto is_like_first = [&](const Answer& answer) { return answer.score == answers.front().score; };
  if (answers.size() < 2 || !std::all_of(answers.begin(), answers.end(), is_like_first)) return;
  fmt::print(stderr,
             "throng: the judge gave {} to all {} answers, so its scores tell nothing: take a larger model\n",
             *answers.front().score, answers.size());
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
  for (const std::string& text : questionnaire.without) {
    conditions.push_back({"without " + text, town::ParseHidden("--without", text)});
  }
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
  const bool is_judged = !questionnaire.judge.empty();
  if (is_judged) WarnOfDullJudge(answers);
  const RunMeans means = is_judged ? MeansOf(answers, by_time) : RunMeans();
  const std::vector<Row> rows = is_judged ? RowsOf(answers, by_time) : std::vector<Row>();
  const std::vector<std::string> categories = CategoriesOf(questions);
  if (questionnaire.json) {
    Json json = {{"questions", questionnaire.questions},
                 {"scores", ScoresJson(means, rows, categories)},
                 {"answers", Json::array()}};
    for (const Answer& answer : answers) json["answers"].push_back(AnswerJson(answer));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else if (questionnaire.csv) {
    PrintCsv(answers);
  } else if (!is_judged) {
    PrintAnswers(answers);
  } else {
    PrintScores(means, rows, categories);
  }
}

}  // namespace throng::cli
