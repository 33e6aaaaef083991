// Broken copies of the town's folder: everything that is wrong is found at once, each with its place.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "town/testing/town_copy.h"
#include "town/town.h"

namespace throng::town {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Without the folder.
std::vector<std::string> Check(const TownCopy& copy) {
  std::vector<std::string> sentences;
  for (const Problem& problem : CheckTown(copy.Dir())) {
    const std::string sentence = problem.Sentence();
    EXPECT_TRUE(sentence.starts_with(copy.Dir() + "/")) << sentence;
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
    sentences.push_back(sentence.substr(copy.Dir().size() + 1));
  }
  return sentences;
}

TEST(CheckTown, TheBuiltInTownHasNoProblems) {
  EXPECT_THAT(CheckTown(std::string(THRONG_SOURCE_DIR) + "/town"), SizeIs(0));
}

TEST(CheckTown, FindsTheProblemsOfAllFilesAtOnce) {
  TownCopy copy;
  copy.Replace("map.json", "\"rect\": [46, 38, 13, 9]", "\"rect\": [146, 38, 13, 9]");
  copy.Replace("places.json", "\"activities\": [\"walk the dog\"",
               "\"fun\": 1, \"activities\": [\"walk the dog\"");
  copy.Replace("personas.json", "\"age\": 34", "\"age\": -3");
  copy.Replace("personas.json", "\"home\": \"home_cleo\"", "\"home\": \"castle\"");
  copy.Replace("decisions.json", "\"max_tokens\": 136", "\"max_tokens\": \"all\"");
  copy.Replace("prompts/say.txt", "{{relation}}", "{{relatoin}}");
  copy.Replace("prompts/plan.txt", "{{time}}", "{{time} {{tiem}}");
  copy.Replace("scenario.json", "\"hours\": 7", "\"hours\": 0");
  EXPECT_THAT(
      Check(copy),
      ElementsAre(
          HasSubstr("map.json: places[0].rect: found [146,38,13,9], allowed: [x, y, width, height] inside"),
          HasSubstr("places.json: [2]: found the key \"fun\", allowed: name, kind, activities"),
          HasSubstr("personas.json: [0].age: found -3, allowed: a whole number from 0"),
          HasSubstr("personas.json: [2].home: found \"castle\", allowed: a name among the homes"),
          HasSubstr("prompts/plan.txt:8: found the placeholder {{time} {{tiem}}"),
          HasSubstr("decisions.json: say.max_tokens: found \"all\""),
          HasSubstr("prompts/say.txt:13: found the placeholder {{relatoin}}, allowed: name"),
          HasSubstr("scenario.json: hours: found 0, allowed: a whole number from 1")));
}

TEST(CheckTown, KnownPlacesNeedNoPlaces) {
  TownCopy copy;
  copy.Replace("personas.json", "\"age\": 34", "\"age\": 34, \"places\": [\"park\"]");
  copy.Write("places.json", "{");
  for (const std::string& problem : Check(copy)) EXPECT_THAT(problem, HasSubstr("places.json"));
}

TEST(CheckTown, AFileThatCannotBeReadDoesNotMakeTheOthersWrong) {
  TownCopy copy;
  copy.Write("map.json", "{");
  copy.Write("places.json", "[");
  EXPECT_THAT(Check(copy),
              ElementsAre("map.json:1: this is not JSON from here on, allowed: JSON without comments",
                          "places.json:1: this is not JSON from here on, allowed: JSON without comments"));
  copy.Remove("personas.json");
  EXPECT_THAT(Check(copy), SizeIs(3));
}

TEST(CheckTown, APlaceThatNoDecisionCanChoose) {
  TownCopy copy;
  copy.Replace("decisions.json", "\"choices\": [\"cafe\", \"park\", ", "\"choices\": [");
  EXPECT_THAT(Check(copy), ElementsAre(HasSubstr("places.json: [1].name: no decision can choose \"cafe\""),
                                       HasSubstr("places.json: [2].name: no decision can choose \"park\"")));
}

TEST(CheckTown, ASchemaWithoutWhatIsReadOfItsAnswers) {
  TownCopy copy;
  copy.Replace("decisions.json", "\"plan\": {\n          \"type\": \"array\"",
               "\"plans\": {\n          \"type\": \"array\"");
  copy.Replace("decisions.json", "\"required\": [\"plan\"]", "\"required\": [\"plans\"]");
  copy.Replace("decisions.json", "\"insight\": {\"type\"", "\"thought\": {\"type\"");
  copy.Replace("decisions.json", "\"insight\"", "\"thought\"");
  copy.Replace("decisions.json", "\"say\": {\"type\": \"string\"", "\"say\": {\"type\": \"sentence\"");
  EXPECT_THAT(
      Check(copy),
      ElementsAre(
          HasSubstr("decisions.json: plan.schema.properties: the property \"plan\" is missing"),
          HasSubstr("decisions.json: say.schema: "),
          HasSubstr("decisions.json: reflect.schema.properties: the property \"insight\" is missing")));
}

TEST(CheckTown, APlanOfPlacesThatAreNotThere) {
  TownCopy copy;
  copy.Replace("decisions.json", "{\"enum\": [\"cafe\"", "{\"enum\": [\"kafe\"");
  EXPECT_THAT(
      Check(copy),
      ElementsAre(HasSubstr("plan.schema.properties.plan.items.properties.place.enum[0]: found \"kafe\"")));
}

TEST(CheckTown, PlacesThatNobodyCanReach) {
  TownCopy copy;
  copy.Replace("map.json", "\"doors\": [[52, 46], [58, 42]]", "\"doors\": []");
  copy.Replace("map.json", "\"doors\": [[88, 46], [82, 42]]", "\"doors\": []");
  // From inside of the first place, nothing else can be reached.
  EXPECT_THAT(Check(copy),
              testing::Contains(HasSubstr("map.json: places[1].spots[0]: nobody can walk from")));
  EXPECT_GT(Check(copy).size(), 10u);
}

TEST(CheckTown, EncodingsByName) {
  TownCopy copy;
  const std::string text = copy.Read("personas.json");
  const auto utf16 = [&](bool big) {
    std::string wide = big ? "\xFE\xFF" : "\xFF\xFE";
    for (const char c : text) wide += big ? std::string{'\0', c} : std::string{c, '\0'};
    return wide;
  };
  for (const std::string& wide : {utf16(false), utf16(true)}) {
    copy.Write("personas.json", wide);
    EXPECT_THAT(Check(copy), ElementsAre(HasSubstr("personas.json: found UTF-16, allowed: UTF-8")));
    copy.Write("personas.json", wide.substr(2));
    EXPECT_THAT(Check(copy),
                ElementsAre(HasSubstr("found UTF-16 without a byte order mark, allowed: UTF-8")));
  }
  copy.Write("personas.json", text);
  copy.Replace("personas.json", "\"barista\"", "\"caf\xE9 owner\"");
  copy.Replace("prompts/act.txt", "Next", std::string("\0", 1));
  EXPECT_THAT(Check(copy),
              ElementsAre(HasSubstr("personas.json: found the byte 0xE9 in line 2, as in Latin-1"),
                          HasSubstr("prompts/act.txt: found a byte 0 in line 12, allowed: UTF-8")));
  // What Windows writes before UTF-8 is no part of the text.
  copy.Write("personas.json", "\xEF\xBB\xBF" + text);
  copy.Replace("prompts/act.txt", std::string("\0", 1), "Next");
  EXPECT_THAT(Check(copy), SizeIs(0));
}

TEST(CheckTown, TheRunStopsWithTheFirst) {
  TownCopy copy;
  copy.Replace("scenario.json", "\"hours\": 7", "\"hours\": 0");
  copy.Replace("scenario.json", "\"stroll_minutes\": 15", "\"stroll_minutes\": 0");
  try {
    LoadTown(copy.Dir());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("scenario.json: hours: found 0"));
    EXPECT_THAT(error.what(), HasSubstr("(1 more: throng check " + copy.Dir() + " lists them)"));
  }
}

// Files cut, or with a byte changed anywhere: problems, or a town that loads; never a crash.
TEST(CheckTown, DamagedFilesAreProblems) {
  TownCopy copy;
  CounterRng rng(7);
  for (const char* file : {"map.json", "places.json", "personas.json", "decisions.json", "scenario.json"}) {
    const std::string text = copy.Read(file);
    for (int i = 0; i < 12; ++i) {
      std::string damaged = text;
      const size_t at = rng.NextBelow(text.size());
      if (i % 2 == 0) damaged.resize(at);
      if (i % 2 == 1) damaged[at] = static_cast<char>(rng.Next());
      copy.Write(file, damaged);
      const bool fits = Check(copy).empty();
      try {
        LoadTown(copy.Dir());
        EXPECT_TRUE(fits) << file << " " << at;
      } catch (const Error&) {
        EXPECT_FALSE(fits) << file << " " << at;
      }
    }
    copy.Write(file, text);
  }
}

}  // namespace
}  // namespace throng::town
