// Broken copies of the town's folder: each is refused with one sentence that names the file.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "town/testing/town_copy.h"
#include "town/town.h"

namespace throng::town {
namespace {

using testing::HasSubstr;

std::string LoadError(const TownCopy& copy) {
  try {
    LoadTown(copy.Dir());
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(LoadTown, TellsInOneSentenceWhatIsWrong) {
  struct Case {
    const char* file;
    const char* from;
    const char* to;
    const char* message;
  };
  const Case cases[] = {
      {"personas.json", "\"age\": 34", "\"age\": \"old\"",
       "personas.json: [0].age: found \"old\", allowed: a whole number"},
      {"personas.json", "\"age\": 34", "\"height\": 34",
       "personas.json: [0]: found the key \"height\", allowed: name"},
      {"personas.json", "\"name\": \"Ben\", \"age\"", "\"name\": \"Ada\", \"age\"",
       "[1].name: found \"Ada\", allowed: a name that nobody else"},
      {"personas.json", "\"workplace\": \"cafe\"", "\"workplace\": \"mine\"",
       "[0].workplace: found \"mine\", allowed: a name among"},
      {"personas.json", "\"home_ada\"", "\"home_of_ada\"",
       "[0].home: found \"home_of_ada\", allowed: a name among the homes"},
      {"personas.json", "\"home_ada\"", "\"cafe\"",
       "[0].home: found \"cafe\", allowed: a name among the homes"},
      {"personas.json", "\"sleep_hour\": 22", "\"sleep_hour\": 5",
       "[0].sleep_hour: found 5, allowed: a whole number from 7 to 23"},
      {"personas.json", "{\"name\": \"Ben\", \"relation\"", "{\"name\": \"Bob\", \"relation\"",
       "[0].relations[0].name: found \"Bob\""},
      {"personas.json", "\"age\": 34", "\"age\": 34, \"places\": [\"park\", \"moon\"]",
       "[0].places[1]: found \"moon\", allowed: a name among"},
      {"personas.json", "[", "{", "personas.json:"},
      {"places.json", "\"home\"", "\"house\"", "places.json: [0].name: found \"house\", allowed: \"home\""},
      {"places.json", "\"cafe\"", "\"castle\"",
       "[1].name: found \"castle\", allowed: a name among the places of map.json"},
      {"places.json", "\"private\"", "\"secret\"",
       "[0].kind: found \"secret\", allowed: \"private\" or \"public\""},
      {"places.json", "\"name\": \"park\"", "\"name\": \"cafe\"", "a name that no other place has"},
      {"map.json", "\"name\": \"cafe\"", "\"name\": \"coffee\"", "places.json: [1].name: found \"cafe\""},
      {"decisions.json", "\"kind\": \"choice\"", "\"kind\": \"text\"",
       "decisions.json: act.kind: found \"text\", allowed: \"choice\""},
      {"decisions.json", "\"choices\": [\"cafe\"", "\"choices\": [\"mine\"",
       "act.choices[0]: found \"mine\", allowed: a name among"},
      {"decisions.json", "\"yes\"", "\"yeah\"",
       "talk.choices[0]: found \"yeah\", allowed: \"yes\" and \"no\""},
      {"decisions.json", "\"max_tokens\": 320", "\"max_tokens\": 0",
       "plan.max_tokens: found 0, allowed: a whole number from 1"},
      {"decisions.json", "\"reflect\"", "\"muse\"",
       "decisions.json: found the key \"muse\", allowed: plan, act"},
      {"decisions.json", "prompts/plan.txt", "../plan.txt", "plan.prompt: found \"../plan.txt\""},
      {"decisions.json", "prompts/plan.txt", "prompts/none.txt", "prompts/none.txt"},
      {"prompts/say.txt", "{{other}}", "{{friend}}",
       "prompts/say.txt:13: found the placeholder {{friend}}, allowed: name"},
      {"scenario.json", "\"06:00\"", "\"7am\"",
       "scenario.json: start: found \"7am\", allowed: a time of day"},
      {"scenario.json", "\"hours\": 7", "\"hours\": 0",
       "scenario.json: hours: found 0, allowed: a whole number from 1"},
      {"scenario.json", "\"to\": \"Nils\"", "\"to\": \"Nobody\"",
       "news[0].to: found \"Nobody\", allowed: the name of a persona"},
      {"scenario.json", "\"temperature\": 0.5", "\"temperature\": -1",
       "sampling.plan.temperature: found -1, allowed: a number"},
      {"scenario.json", "\"stroll_minutes\": 15", "\"stroll_minutes\": 0", "stroll_minutes: found 0"},
      {"scenario.json", "\"lines\"", "\"rows\"",
       "scenario.json: memory: found the key \"rows\", allowed: lines, bytes"},
  };
  for (const Case& c : cases) {
    TownCopy copy;
    copy.Replace(c.file, c.from, c.to);
    const std::string error = LoadError(copy);
    EXPECT_THAT(error, HasSubstr(c.message)) << c.file << " " << c.to;
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 0);
  }
}

TEST(LoadTown, NamesTheFileThatIsMissing) {
  for (const char* file : {"map.json", "scenario.json", "prompts/act.txt"}) {
    TownCopy copy;
    copy.Remove(file);
    EXPECT_THAT(LoadError(copy), HasSubstr(file));
  }
  EXPECT_THROW(LoadTown("/nowhere/at/all"), Error);
}

TEST(LoadTown, RefusesNestingThatIsTooDeep) {
  TownCopy copy;
  copy.Replace("places.json", "[", std::string(1000, '['));
  EXPECT_THAT(LoadError(copy), HasSubstr("nested too deeply"));
}

TEST(LoadTown, EveryFileCountsInTheDigest) {
  const Digest built_in = LoadTown(std::string(THRONG_SOURCE_DIR) + "/town")->ScenarioDigest();
  TownCopy copy;
  EXPECT_EQ(LoadTown(copy.Dir())->ScenarioDigest(), built_in);
  EXPECT_NE(LoadTown(copy.Dir(), {.agents = 24})->ScenarioDigest(), built_in);
  copy.Replace("prompts/say.txt", "Say:", "Speak:");
  EXPECT_NE(LoadTown(copy.Dir())->ScenarioDigest(), built_in);
}

TEST(LoadTown, AnotherTownNeedsNoCode) {
  TownCopy copy;
  copy.Replace("personas.json", "\"job\": \"barista\"", "\"job\": \"poet\"");
  copy.Replace("scenario.json", "\"06:00\"", "\"08:30\"");
  const auto town = LoadTown(copy.Dir());
  EXPECT_EQ(town->ClockAt(0), "08:30");
  EXPECT_EQ(town->ClockAt(6), "08:31");
  EXPECT_EQ(town->StepAt("09:00"), 180);
  EXPECT_THROW(town->StepAt("08:00"), Error);
  EXPECT_THROW(town->StepAt("noon"), Error);
}

}  // namespace
}  // namespace throng::town
