#include "town/import/prose.h"

#include <gtest/gtest.h>

namespace throng::town {
namespace {

TEST(Prose, NamesPlacesInOtherWords) {
  EXPECT_EQ(FindPlace("She keeps the Elm Bakery and Tearoom", "The Elms Bakery and Tearoom"), 2u);
  EXPECT_EQ(FindPlace("at Mill Bakery's door", "Mill Bakery"), 1u);
  EXPECT_EQ(FindPlace("the mill", "Mill Bakery"), std::nullopt);
  EXPECT_EQ(FindPlace("the mill", "The"), std::nullopt);
}

TEST(Prose, SaysWhoSomebodyIs) {
  const struct {
    const char* text;
    const char* relation;
  } kCases[] = {
      {"He lives with his wife, Ida Holm, and a dog", "wife"},
      {"lives with her husband, Per Holm, and son, Ida Holm", "son"},
      {"Ida Holm is your housemate whom you have known for a year", "housemate"},
      {"You and Ida Holm are close friends and classmates", "friend"},
      {"You are good friends with your old neighbour Ida Holm", "neighbour"},
      {"You know the husband Per Holm and the wife Ida Holm", "acquaintance"},
      {"Ida Holm is a professor", "acquaintance"},
      {"Ida Holm sings", "acquaintance"},
      {"Ida Holms sings", "acquaintance"},
      {"Nobody sings", ""},
  };
  for (const auto& [text, relation] : kCases) EXPECT_EQ(RelationIn(text, "Ida Holm"), relation) << text;
  EXPECT_EQ(RelationIn("his friend, A. (B)", "A. (B)"), "acquaintance");  // no word ends there
}

}  // namespace
}  // namespace throng::town
