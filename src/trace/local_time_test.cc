#include "trace/local_time.h"

#include <gtest/gtest.h>

namespace throng::trace {
namespace {

std::string Recorded(const char* text) {
  const std::optional<LocalTime> time = LocalTime::ParseRecorded(text);
  return time ? time->Text() : "none";
}

TEST(LocalTime, ReadsWhatItWrites) {
  for (const char* text : {"2023-02-13T06:30:09", "00:00:00", "23:59:59", "2024-02-29T00:00:00"}) {
    ASSERT_TRUE(LocalTime::Parse(text)) << text;
    EXPECT_EQ(LocalTime::Parse(text)->Text(), text);
  }
  for (const char* text : {"", "2023-02-13", "2023-02-30T00:00:00", "2023-13-01T00:00:00",
                           "2023-02-13T24:00:00", "2023-02-13T06:30", "2023-02-13T06:30:00Z", "23-2-3T6:3:0",
                           "6:30:00", " 06:30:00", "06:60:00", "noon"}) {
    EXPECT_FALSE(LocalTime::Parse(text)) << text;
  }
}

TEST(LocalTime, ReadsWhatRecordingsHave) {
  EXPECT_EQ(Recorded("March 6, 2023, 08:00:30"), "2023-03-06T08:00:30");
  EXPECT_EQ(Recorded("December 31, 2023"), "2023-12-31T00:00:00");
  EXPECT_EQ(Recorded("2023-03-06"), "2023-03-06T00:00:00");
  EXPECT_EQ(Recorded("2023-03-06 08:00:30"), "2023-03-06T08:00:30");
  EXPECT_EQ(Recorded("2023-03-06T08:00:30"), "2023-03-06T08:00:30");
  for (const char* text :
       {"", "March", "March 6", "March 6, 23", "6. M\u00e4rz 2023", "February 30, 2023", "03/06/2023",
        "March 6, 2023, 8:00", "March 6, 2023, 24:00:00", "March 6, 2023 and more", "08:00:30"}) {
    EXPECT_EQ(Recorded(text), "none") << text;
  }
}

TEST(LocalTime, GoesOverMidnight) {
  EXPECT_EQ(LocalTime::Parse("2023-12-31T23:50:00")->After(600).Text(), "2024-01-01T00:00:00");
  EXPECT_EQ(LocalTime::Parse("2024-03-01T00:00:00")->After(-1).Text(), "2024-02-29T23:59:59");
  EXPECT_EQ(LocalTime::Parse("08:20:00")->After(-86400).Text(), "08:20:00");
  EXPECT_EQ(LocalTime().After(3 * 86400 + 61).Text(), "00:01:01");
}

}  // namespace
}  // namespace throng::trace
