#include "llm/regular/format.h"

#include <gtest/gtest.h>

#include <map>

namespace throng::llm {
namespace {

TEST(FormatTexts, AreValidAndNothingElseIs) {
  struct Cases {
    std::vector<std::string> valid;
    std::vector<std::string> invalid;
  };
  const std::string label(63, 'a');
  const std::map<std::string, Cases> formats = {
      {"date",
       {{"2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30", "0000-02-29"},
        {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "2023-01-00", "2023-1-01",
         "23-01-01"}}},
      {"time",
       {{"00:00:00Z", "23:59:59.123+05:30", "12:30:00-23:59", "23:59:60Z"},
        {"24:00:00Z", "12:60:00Z", "12:00:60Z", "12:00Z", "12:00:00", "12:00:00.Z", "12:00:00+24:00"}}},
      {"date-time",
       {{"2024-02-29T12:00:00Z", "1985-04-12T23:20:50.52+01:00"},
        {"2023-02-29T12:00:00Z", "2024-02-29 12:00:00Z", "2024-02-29", "2024-02-29T12:00:00"}}},
      {"duration",
       {{"P1Y", "P1Y2M3D", "PT1S", "P2W", "P1M2DT3H4M5S", "PT1H", "P10D"},
        {"P", "PT", "P1Y2D", "P1W2D", "1Y", "PT1H5S", "P1S", "P1.5Y"}}},
      {"email",
       {{"a@b.co", "first.last+tag@sub.example.org", "o'neil@x-y.z9"},
        {"a", "a@b", "@b.co", "a@", ".a@b.co", "a.@b.co", "a..b@c.de", "a@-b.co", "a@b-.co", "a b@c.de",
         "a@b..co", std::string(65, 'a') + "@b.co", "a@" + label + "a.co"}}},
      {"hostname",
       {{"a", "example.org", "a-b.c9", label + "." + label + "." + label + "." + std::string(61, 'b')},
        {"", "-a", "a-", "a..b", "a_b", ".a", "a.", label + "a",
         label + "." + label + "." + label + "." + std::string(62, 'b')}}},
      {"ipv4",
       {{"0.0.0.0", "255.255.255.255", "192.168.10.1"}, {"256.0.0.1", "1.2.3", "01.2.3.4", "1.2.3.4.5"}}},
      {"ipv6",
       {{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "fe80::1", "1::8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
         "::ffff:192.0.2.1", "1:2:3:4:5:6:1.2.3.4", "1:2::1.2.3.4", "2001:DB8::a"},
        {"", ":", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", ":1:2:3:4:5:6:7",
         "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1.2.3.4", "::256.0.0.1", "1:2:3:4:5:6:7::8:9", "g::"}}},
      {"uri",
       {{"http://example.org", "https://u:p@h.org:80/a/b%20c?q=1#f", "mailto:a@b.co", "urn:isbn:0451450523",
         "a:/", "file:///etc/hosts", "http://[::1]:8080/", "tel:+1-816-555-1212", "x:/a//b"},
        {"", "//example.org", "/a", "a", "a:", "a:?q", "http://a b", "1a:b", "http://[::g]", "http://a/%2",
         "http://a\\b", "a:b#c#d", "http://h:port", "x:é"}}},
      {"uri-reference",
       {{"", "http://a/b", "//example.org", "/a/b", "a/b:c", "?q=1", "#f", "../x", "/", "a"},
        {":a", "1a:b", "a b", "a\\b", "/%2", "#a#b", "://"}}},
      {"iri", {{"http://a/b"}, {"not-an-iri", "/a"}}},
      {"iri-reference", {{"a/b"}, {"a\\b"}}},
      {"uri-template",
       {{"", "http://a/{x}", "{+path}/here", "{?q,lang:3,list*}", "a%20b", "{a.b}"},
        {"{", "}", "{}", "{a", "a b", "{a:0}", "%2"}}},
      {"json-pointer", {{"", "/a/b", "/~0~1", "/"}, {"a", "/~", "/~2", "#/a"}}},
      {"relative-json-pointer", {{"0", "1/a", "10#"}, {"", "01", "-1", "#", "1a"}}},
      {"regex",
       {{"", "^[a-z]+$", "\\d{3}-\\d*", "(a|b)*?c", "(?:x(y|z)+)?", "[^0-9A-Z_]", "a/b\\.é", "(?=a)b"},
        {"*", "\\", "(", "a)", "[a", "a**", "\\q", "{1}", "[z-a]"}}},
      {"idn-email", {{"a@b.co"}, {"a"}}},
      {"idn-hostname", {{"a.b"}, {"-a"}}},
      {"uuid",
       {{"123e4567-e89b-12d3-a456-426614174000", "FFFFFFFF-ffff-ffff-FFFF-ffffffffffff"},
        {"123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400",
         "g23e4567-e89b-12d3-a456-426614174000"}}},
      {"byte", {{"", "YQ==", "YWI=", "YWJj"}, {"Y", "YQ", "YQ=", "YQ===", "YW Jj", "YWJ=j"}}},
      {"base64", {{"YWJj"}, {"YQ"}}},
  };
  for (const auto& [format, cases] : formats) {
    const std::optional<Regular> texts = FormatTexts(format);
    ASSERT_TRUE(texts) << format;
    for (const std::string& text : cases.valid) EXPECT_TRUE(texts->Matches(text)) << format << " " << text;
    for (const std::string& text : cases.invalid) EXPECT_FALSE(texts->Matches(text)) << format << " " << text;
    EXPECT_LT(texts->States().size(), 1000u) << format;
  }
}

TEST(FormatTexts, OfUnknownFormatsAreNone) {
  for (const char* format : {"", "Date", "binary", "x-color"}) EXPECT_FALSE(FormatTexts(format)) << format;
}

}  // namespace
}  // namespace throng::llm
