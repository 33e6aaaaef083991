#include "trace/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "trace/write.h"

namespace throng::trace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kAnn = "Ann";
constexpr const char* kBob = "Bob O'Neil";
constexpr int kFirst = 500;  // step of the recorded day

Json Person(const Json& x, const std::string& does, const Json& chat = nullptr) {
  return {{"movement", {x, 14}}, {"pronunciatio", "z"}, {"description", does}, {"chat", chat}};
}

// A day of two people: its head and four steps from 08:00 on, as the storage folder has them. Tests change
// one thing.
struct Day {
  Json meta = {{"start_date", "March 6, 2023"},
               {"curr_time", "March 6, 2023, 08:00:40"},
               {"sec_per_step", 10},
               {"persona_names", {kAnn, kBob}},
               {"step", kFirst + 4}};
  std::map<int, Json> steps;

  Day() {
    for (int i = 0; i < 4; ++i) {
      steps[kFirst + i] = {{"persona",
                            {{kAnn, Person(72, "making tea @ kitchen")},
                             {kBob, Person(20 - i, i < 2 ? "sleeping @ bed" : "reading @ library")}}},
                           {"meta", {{"curr_time", fmt::format("March 6, 2023, 08:00:{:02}", 10 * i)}}}};
    }
  }
  Json& Bob(int step) { return steps.at(step)["persona"][kBob]; }
};

class Recording : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::path(::testing::TempDir()) /
           ("throng_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name) << text;
  }
  void Store(const Day& day) const {
    fs::remove_all(dir_);
    Write("reverie/meta.json", day.meta.dump());
    for (const auto& [step, whole] : day.steps) Write(fmt::format("movement/{}.json", step), whole.dump());
  }
  // The compressed form: nobody is in a step in which he does nothing new.
  void Pack(const Day& day) const {
    fs::remove_all(dir_);
    Write("meta.json", day.meta.dump());
    Json packed;
    std::map<std::string, Json> last;
    for (const auto& [step, whole] : day.steps) {
      Json& people = packed[std::to_string(step)] = Json::object();
      for (const auto& [name, does] : whole["persona"].items()) {
        if (std::exchange(last[name], does) != does) people[name] = does;
      }
    }
    Write("master_movement.json", packed.dump());
  }
  Trace Imported(const Day& day) const {
    Store(day);
    return ImportTrace(dir_);
  }
  Trace Changed(const std::function<void(Day&)>& change) const {
    Day day;
    change(day);
    return Imported(day);
  }
  std::string Refusal(const std::string& path) const {
    try {
      ImportTrace(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  std::string RefusalOf(const std::function<void(Day&)>& change) const {
    Day day;
    change(day);
    Store(day);
    return Refusal(dir_);
  }

  fs::path dir_;
};

TEST_F(Recording, IsImportedFromTheStorageFolderAndItsCompressedForm) {
  Trace stored = Imported(Day());
  EXPECT_EQ(stored.num_steps, 4);
  EXPECT_EQ(stored.start.Text(), "2023-03-06T08:00:00");
  EXPECT_EQ(stored.sec_per_step, 10);
  EXPECT_EQ(stored.width, 140);
  ASSERT_EQ(stored.agents.size(), 2u);
  EXPECT_EQ(stored.agents[0].name, kAnn);
  EXPECT_EQ(stored.agents[1].PosAt(3), (sim::Pos{17, 14}));
  EXPECT_EQ(stored.agents[1].chains.size(), 1u);  // he woke up
  Pack(Day());
  Trace packed = ImportTrace(dir_);
  stored.name = stored.source = packed.name = packed.source = "";
  EXPECT_EQ(stored, packed);
}

TEST_F(Recording, BeginsWhenItSays) {
  // By the first step's own time, whatever the head says; else by the head's.
  const auto start_of = [&](const std::function<void(Day&)>& change) { return Changed(change).start.Text(); };
  EXPECT_EQ(start_of([](Day& day) { day.meta["curr_time"] = "March 7, 2023, 09:00:00"; }),
            "2023-03-06T08:00:00");
  const auto untimed = [](Day& day) {
    for (auto& [step, whole] : day.steps) whole.erase("meta");
  };
  EXPECT_EQ(start_of(untimed), "2023-03-06T08:00:00");
  EXPECT_THAT(RefusalOf([&](Day& day) {
                untimed(day);
                day.meta.erase("curr_time");
              }),
              AllOf(HasSubstr("meta.json: it does not say when step 500 was"), HasSubstr("curr_time")));
  const auto from_0 = [&](Day& day) {
    untimed(day);
    std::map<int, Json> steps;
    for (auto& [step, whole] : day.steps) steps[step - kFirst] = whole;
    day.steps = steps;
    day.meta.erase("curr_time");
  };
  EXPECT_EQ(start_of(from_0), "2023-03-06T00:00:00");
  EXPECT_EQ(start_of([&](Day& day) {
              from_0(day);
              day.meta["start_date"] = "2023-03-06";
            }),
            "2023-03-06T00:00:00");
  EXPECT_EQ(start_of([&](Day& day) {
              from_0(day);
              day.meta.erase("start_date");
            }),
            "00:00:00");  // left open
  EXPECT_THAT(RefusalOf([](Day& day) { day.meta["sec_per_step"] = 60; }),
              HasSubstr("movement/501.json: it was at 2023-03-06T08:00:10, but 1 steps of 60 s after "
                        "2023-03-06T08:00:00 it is 2023-03-06T08:01:00"));
}

TEST_F(Recording, WhoIsThereIsThereInAllSteps) {
  EXPECT_THAT(RefusalOf([](Day& day) { day.steps[503]["persona"].erase(kBob); }),
              HasSubstr("movement/503.json: Bob O'Neil is not there, but in "));
  EXPECT_THAT(RefusalOf([](Day& day) { day.steps[500]["persona"].erase(kBob); }),
              AllOf(HasSubstr("movement/500.json: Bob O'Neil is not there, whom "), HasSubstr("meta.json")));
  const auto without_names = [](Day& day) { day.meta.erase("persona_names"); };
  EXPECT_THAT(RefusalOf([&](Day& day) {
                without_names(day);
                day.steps[500]["persona"].erase(kBob);
              }),
              AllOf(HasSubstr("movement/501.json: Bob O'Neil is there, but not in "), HasSubstr("500.json")));
  EXPECT_EQ(Changed(without_names).agents.size(), 2u);
  EXPECT_EQ(Changed([](Day& day) { day.meta["persona_names"] = {kAnn}; }).agents.size(), 2u);
  EXPECT_EQ(Changed([](Day& day) { day.steps.erase(502); }).num_steps, 4);  // a step may be missing
}

TEST_F(Recording, WordsAreTheirSpeakers) {
  const auto says = [](const char* who) {
    return [who](Day& day) {
      day.Bob(502)["chat"] = Json::array({Json::array({kBob, "hi"}), Json::array({who, "hi"})});
    };
  };
  const Trace trace = Changed(says(kAnn));
  ASSERT_EQ(trace.conversations.size(), 1u);
  EXPECT_EQ(trace.conversations[0].members, (std::vector<sim::AgentId>{0, 1}));
  EXPECT_THAT(RefusalOf(says("Nobody")),
              HasSubstr("movement/502.json: in the chat of Bob O'Neil, Nobody speaks"));
  EXPECT_TRUE(Changed([](Day& day) { day.Bob(502)["chat"] = Json::array(); }).conversations.empty());
}

TEST_F(Recording, WholeNumbersMayHaveAPoint) {
  EXPECT_EQ(Changed([](Day& day) {
              day.Bob(501)["movement"] = {129.0, 14.0};
            })
                .agents[1]
                .PosAt(1),
            (sim::Pos{129, 14}));
  EXPECT_EQ(Changed([](Day& day) { day.meta["sec_per_step"] = 10.0; }).sec_per_step, 10);
}

TEST_F(Recording, WhatCannotBeIsRefusedWithFileAndPerson) {
  const std::pair<const char*, Json> heads[] = {{"sec_per_step", 0},
                                                {"sec_per_step", 4294967306},
                                                {"sec_per_step", "10"},
                                                {"sec_per_step", 10.5},
                                                {"step", -1},
                                                {"start_date", "6. M\u00e4rz 2023"},
                                                {"start_date", 20230306},
                                                {"start_date", "February 30, 2023"},
                                                {"start_date", "March"},
                                                {"curr_time", "March 6, 2023, 25:00:00"},
                                                {"persona_names", "Ann"},
                                                {"persona_names", {1}}};
  for (const auto& [key, value] : heads) {
    EXPECT_THAT(RefusalOf([&](Day& day) { day.meta[key] = value; }),
                HasSubstr(fmt::format("meta.json: {} is {}; allowed: ", key, value.dump())));
  }
  const std::pair<const char*, Json> deeds[] = {
      {"movement", nullptr},         {"movement", {-1, 5}},
      {"movement", {1, 2147483647}}, {"movement", {18446744073709551615u, 1}},
      {"movement", {1.5, 1}},        {"movement", {1, 2, 3}},
      {"description", nullptr},      {"chat", "hi"}};
  for (const auto& [key, value] : deeds) {
    EXPECT_THAT(RefusalOf([&](Day& day) { day.Bob(501)[key] = value; }),
                HasSubstr(fmt::format("movement/501.json: \"{}\" of Bob O'Neil is {}; allowed: ", key,
                                      value.dump())));
  }
  EXPECT_THAT(RefusalOf([](Day& day) { day.Bob(501)["chat"] = {{kAnn}}; }),
              HasSubstr("movement/501.json: \"chat\" of Bob O'Neil has [\"Ann\"]; allowed: [speaker, text]"));
  EXPECT_THAT(RefusalOf([](Day& day) { day.steps[501]["persona"] = 5; }),
              HasSubstr("movement/501.json: it has no people"));
  EXPECT_THAT(RefusalOf([](Day& day) { day.steps[501]["meta"]["curr_time"] = "soon"; }),
              HasSubstr("movement/501.json: curr_time is \"soon\""));
  Day day;
  day.Bob(502)["movement"] = "here";
  Pack(day);
  EXPECT_THAT(Refusal(dir_), HasSubstr("master_movement.json: step 502: \"movement\" of Bob O'Neil is"));
}

TEST_F(Recording, OtherFoldersAndFilesAreRefused) {
  fs::create_directories(dir_ / "master_movement.json");
  EXPECT_THAT(Refusal(dir_), HasSubstr("cannot open"));
  fs::remove_all(dir_);
  fs::create_directories(dir_);
  EXPECT_THAT(Refusal(dir_), HasSubstr("neither"));
  EXPECT_THAT(Refusal(dir_ / "none"), HasSubstr("no such"));
  Store(Day());
  Write("movement/notes.json", "stray");
  Write("movement/0501.json", "stray");
  EXPECT_EQ(Refusal(dir_), "no error");
  Write("movement/501.json", "{\"persona\":");
  EXPECT_THAT(Refusal(dir_), HasSubstr("movement/501.json: is not a JSON object"));
  Write("movement/501.json", "");
  EXPECT_THAT(Refusal(dir_), HasSubstr("movement/501.json: is not a JSON object"));
  Write("movement/100000000.json", Day().steps[501].dump());
  Write("movement/501.json", "\xef\xbb\xbf" + Day().steps[501].dump());
  EXPECT_THAT(Refusal(dir_), HasSubstr("movement/100000000.json: allowed: steps from 0 to 99999999"));
  fs::remove_all(dir_ / "movement");
  fs::create_directories(dir_ / "movement");
  EXPECT_THAT(Refusal(dir_), HasSubstr("there is no STEP.json"));
}

TEST(ImportTrace, RecordedDaysKeepTheirCallsWhenConverted) {
  const std::string path = THRONG_SHARED_DIR "/traces/skip-morning-s-14_n25.jsonl.gz";
  if (!fs::exists(path)) GTEST_SKIP() << "there is no " << path;
  const Trace trace = ImportTrace(path);
  EXPECT_EQ(ParseTrace(FormatTrace(trace), trace.name), trace);
}

}  // namespace
}  // namespace throng::trace
