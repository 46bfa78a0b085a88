#include "cli/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/output/label_files.h"

namespace backflip::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ParseMoment, TakesDaysMomentsAndDistances) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(ParseMoment("since", "2h", now, false).value(), now - absl::Hours(2));
  EXPECT_EQ(ParseMoment("expires", "7d", now, true).value(), now + absl::Hours(7 * 24));
  EXPECT_EQ(ParseMoment("since", "2026-12-01T10:00:00Z", now, false).value(),
            absl::FromCivil(absl::CivilSecond(2026, 12, 1, 10), absl::UTCTimeZone()));
  EXPECT_EQ(ParseMoment("since", "2026-12-01", now, false).value(),
            absl::FromCivil(absl::CivilDay(2026, 12, 1), absl::LocalTimeZone()));
  EXPECT_EQ(ParseMoment("since", "2026-12-01T18:30", now, false).value(),
            absl::FromCivil(absl::CivilMinute(2026, 12, 1, 18, 30), absl::LocalTimeZone()));
}

TEST(ParseMoment, NamesTheFlagAndWhatItTakes) {
  const auto odd = ParseMoment("since", "yesterday", absl::Now(), false);
  EXPECT_THAT(odd.status().message(), HasSubstr("--since is 'yesterday'"));
  EXPECT_THAT(odd.status().message(), HasSubstr("2026-12-01"));
  EXPECT_THAT(odd.status().message(), HasSubstr("ago"));
  EXPECT_THAT(ParseMoment("expires", "-2h", absl::Now(), true).status().message(),
              HasSubstr("negative"));
}

TEST(ParseRuns, TakesNumbersWithCommas) {
  EXPECT_THAT(ParseRuns("runs", "1,12").value(), ElementsAre(1, 12));
  EXPECT_THAT(ParseRuns("runs", "").value(), ElementsAre());
  EXPECT_THAT(ParseRuns("runs", "1,all").status().message(), HasSubstr("--runs is '1,all'"));
  EXPECT_FALSE(ParseRuns("runs", "0").ok());
}

TEST(CsvField, IsQuotedAndNoFormula) {
  EXPECT_EQ(CsvField("ada"), "ada");
  EXPECT_EQ(CsvField("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
  EXPECT_EQ(CsvField("=HYPERLINK(1)"), "'=HYPERLINK(1)");
  EXPECT_EQ(CsvField("@a,b"), "\"'@a,b\"");
}

TEST(ParseSnapshot, TakesARunAndMaybeAVersion) {
  EXPECT_EQ(ParseSnapshot("3").value().version, 0);
  EXPECT_EQ(ParseSnapshot("3@12").value().run_id, 3);
  EXPECT_EQ(ParseSnapshot("3@12").value().version, 12);
  EXPECT_THAT(ParseSnapshot("3@newest").status().message(), HasSubstr("RUN@VERSION"));
  EXPECT_THAT(ParseSnapshot("mine").status().message(), HasSubstr("'mine' is no run"));
}

}  // namespace
}  // namespace backflip::cli
