#include "journal/store/postgres_dialect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/text/utf8.h"
#include "journal/store/place.h"

namespace throng::journal {
namespace {

using ::testing::HasSubstr;

TEST(PostgresDialectTest, ParametersAreNumbered) {
  EXPECT_EQ(PostgresParameters("INSERT INTO t VALUES(?,?,?)"), "INSERT INTO t VALUES($1,$2,$3)");
  EXPECT_EQ(PostgresParameters("SELECT a / ?1 * ?1 FROM t WHERE b = ?2"),
            "SELECT a / $1 * $1 FROM t WHERE b = $2");
  EXPECT_EQ(PostgresParameters("SELECT 'what?' FROM t WHERE a = ?"), "SELECT 'what?' FROM t WHERE a = $1");
}

TEST(PostgresDialectTest, TextsThatAreNoUtf8ComeBackAsTheyWere) {
  using namespace std::string_literals;
  for (const std::string& text :
       {""s, "plain"s, "Zürich 𝄞"s, "ends in the middle of \xC3"s, "a\0b"s, "\xFF\xFE\x80"s,
        "\xF4\x8F\xBC\x80"s, "\xF4\x8F\xBF\xBF and \xF4\x8F\xBC"s, "\xF4\x80\x80\x80"s, "\xED\xA0\x80"s}) {
    const std::string escaped = EscapeText(text);
    EXPECT_EQ(ValidUtf8Prefix(escaped), escaped.size());
    EXPECT_EQ(escaped.find('\0'), std::string::npos);
    EXPECT_EQ(UnescapeText(escaped), text);
  }
  EXPECT_EQ(EscapeText("Zürich 𝄞"), "Zürich 𝄞");
}

TEST(PostgresDialectTest, ValuesOfAnyTypeKeepIt) {
  for (const double real : {0.0, 1.0, -2.5, 0.1, 1e300, 5e-324, std::numeric_limits<double>::infinity(),
                            -std::numeric_limits<double>::infinity()}) {
    const SqlValue back = AnyFromJson(AnyToJson({.type = ColumnType::kDouble, .real = real, .bytes = {}}));
    EXPECT_EQ(back.type, ColumnType::kDouble);
    EXPECT_EQ(back.real, real);
  }
  for (const int64_t number : {int64_t{0}, int64_t{-7}, std::numeric_limits<int64_t>::max()}) {
    const SqlValue back = AnyFromJson(AnyToJson({.type = ColumnType::kInt, .number = number, .bytes = {}}));
    EXPECT_EQ(back.type, ColumnType::kInt);
    EXPECT_EQ(back.number, number);
  }
  for (const std::string text : {"", "5", "1.0", "a \"quoted\" \\ line\n", "\xFF"}) {
    const SqlValue back = AnyFromJson(AnyToJson({.type = ColumnType::kText, .bytes = text}));
    EXPECT_EQ(back.type, ColumnType::kText);
    EXPECT_EQ(back.bytes, text);
  }
}

TEST(PostgresDialectTest, RowsAreAddedManyAtOnce) {
  EXPECT_EQ(PostgresManyRows("INSERT INTO cells VALUES(?,?)", {"bigint", "text"}),
            "INSERT INTO cells SELECT * FROM unnest($1::bigint[],$2::text[])");
  for (const char* other :
       {"INSERT INTO sessions VALUES(?,'')", "INSERT INTO manifest VALUES(?,?) ON CONFLICT(key)",
        "INSERT INTO x(a, b) VALUES(?,?)", "UPDATE x SET a = ?, b = ?"}) {
    EXPECT_EQ(PostgresManyRows(other, {"bigint", "text"}), "") << other;
  }
  EXPECT_EQ(PostgresArray({"1", std::nullopt, "", "NULL", "a \"b\" {c}, \\x00"}),
            R"({"1",NULL,"","NULL","a \"b\" {c}, \\x00"})");
}

TEST(PostgresDialectTest, BytesAreReadFromHex) {
  EXPECT_EQ(HexOfBytes(std::string("\0\xff\x1a", 3)), "\\x00ff1a");
  EXPECT_EQ(BytesFromHex("\\x00ff1a"), std::string("\0\xff\x1a", 3));
  EXPECT_EQ(BytesFromHex("\\x"), "");
}

TEST(PlaceTest, AddressesAreTakenApart) {
  const PostgresPlace place =
      ParsePostgres("postgres://me@one:1,two/runs?a=1&journal=town.2&sslmode=require");
  EXPECT_EQ(place.address, "postgres://me@one:1,two/runs?a=1&sslmode=require");
  EXPECT_EQ(place.name, "town.2");
  EXPECT_EQ(ParsePostgres("postgresql://h/d?journal=x").address, "postgresql://h/d");
  EXPECT_TRUE(IsPostgres("postgresql://h/d?journal=x"));
  EXPECT_FALSE(IsPostgres("runs/postgres.journal"));
  EXPECT_EQ(LastingPlace("postgres://h/d?journal=x"), "postgres://h/d?journal=x");
  EXPECT_EQ(LastingPlace("/a/../b"), "/b");
}

TEST(PlaceTest, NamesAndPasswordsAreChecked) {
  const auto refusal = [](const std::string& place) -> std::string {
    try {
      ParsePostgres(place);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* place : {"postgres://h/d", "postgres://h/d?journal=", "postgres://h/d?journal",
                            "postgres://h/d?journal=a%20b", "postgres://h/d?journal=a/b"}) {
    EXPECT_THAT(refusal(place), HasSubstr("allowed: postgres://[USER@]HOST")) << place;
  }
  for (const char* place :
       {"postgres://me:secret@h/d?journal=x", "postgres://me:se/c?ret@h/d", "postgres://h/d?password=secret",
        "postgres://me:sec@ret@h/d?journal=x", "postgres://h/d?journal=x&sslpassword=secret"}) {
    EXPECT_THAT(refusal(place), HasSubstr("has a password")) << place;
    EXPECT_EQ(refusal(place).find("sec"), std::string::npos) << place;
  }
}

}  // namespace
}  // namespace throng::journal
