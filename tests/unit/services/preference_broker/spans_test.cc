#include "services/preference_broker/rpc/spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/metrics/metrics.h"
#include "tests/support/span_collector.h"

namespace backflip::preference_broker {
namespace {

using ::backflip::testing::Received;
using ::backflip::testing::SpanCollector;
using ::backflip::testing::SpansOf;
using ::testing::ElementsAre;

std::string NameOf(const nlohmann::json& span) { return span["name"]; }

double Dropped() {
  return metrics::GetCounter("backflip_spans_total",
                             "Spans of labels' lives by outcome: sent, dropped (the collector "
                             "refused them, or there was no room left).",
                             {{"outcome", "dropped"}})
      .Value();
}

TEST(Spans, OfALabelsLifeAreATraceUnderTheOpeningOfItsQuestion) {
  SpanCollector collector({200});
  std::vector<Received> received;
  {
    const auto sender = SpanSender::Start(collector.Url(), "a stack");
    Tell({kQuestionOpened, 3, 57, {}}, {{"trace", "3-57"}, {"clips", "a b"}});
    Tell({"answer stored", 3, 57, absl::Seconds(2)}, {{"label", 12}, {"sure", true}});
    Tell({"answer stored", 3, 58, {}}, {});
    received = collector.Await(1);
  }
  ASSERT_EQ(received.size(), 1);
  EXPECT_EQ(received[0].target, "/v1/traces");
  EXPECT_EQ(received[0].type, "application/json");
  EXPECT_EQ(received[0].body["resourceSpans"][0]["resource"]["attributes"][0],
            nlohmann::json::parse(
                R"({"key": "service.name", "value": {"stringValue": "backflip-broker"}})"));
  const std::vector<nlohmann::json> spans = SpansOf(received);
  ASSERT_EQ(spans.size(), 3);
  const std::string trace = OtlpTraceId("a stack", 3, 57);
  EXPECT_EQ(trace.size(), 32);
  EXPECT_EQ(spans[0]["traceId"], trace);
  EXPECT_EQ(spans[1]["traceId"], trace);
  EXPECT_EQ(spans[2]["traceId"], OtlpTraceId("a stack", 3, 58));
  EXPECT_NE(trace, OtlpTraceId("another", 3, 57));
  EXPECT_EQ(spans[0]["spanId"].get<std::string>().size(), 16);
  EXPECT_FALSE(spans[0].contains("parentSpanId"));
  EXPECT_EQ(spans[1]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_NE(spans[2]["parentSpanId"], spans[0]["spanId"]);
  const auto nanoseconds = [&](const char* of) {
    return std::stoll(spans[1][of].get<std::string>());
  };
  EXPECT_EQ(nanoseconds("endTimeUnixNano") - nanoseconds("startTimeUnixNano"), 2'000'000'000);
  EXPECT_LE(nanoseconds("endTimeUnixNano"), absl::GetCurrentTimeNanos());
  EXPECT_EQ(spans[1]["attributes"], nlohmann::json::parse(R"([
    {"key": "backflip.label", "value": {"intValue": "12"}},
    {"key": "backflip.sure", "value": {"boolValue": true}}])"));
}

TEST(Spans, ThatCannotBeTakenNowAreSentAgainInTheirOrder) {
  SpanCollector collector({503, 200});
  const auto sender = SpanSender::Start(collector.Url(), "a stack");
  Tell({"first", 1, 1, {}}, {});
  ASSERT_THAT(SpansOf(collector.Await(1)), ElementsAre(::testing::ResultOf(NameOf, "first")));
  Tell({"second", 1, 1, {}}, {});
  auto received = collector.Await(2);
  received.erase(received.begin());
  EXPECT_THAT(SpansOf(received), ElementsAre(::testing::ResultOf(NameOf, "first"),
                                             ::testing::ResultOf(NameOf, "second")));
}

TEST(Spans, ThatACollectorRefusesForGoodAreDroppedAndCounted) {
  const double before = Dropped();
  SpanCollector collector({400, 200});
  {
    const auto sender = SpanSender::Start(collector.Url(), "a stack");
    Tell({"refused", 1, 1, {}}, {});
    collector.Await(1);
    Tell({"taken", 1, 1, {}}, {});
    auto received = collector.Await(2);
    received.erase(received.begin());
    EXPECT_THAT(SpansOf(received), ElementsAre(::testing::ResultOf(NameOf, "taken")));
  }
  EXPECT_EQ(Dropped() - before, 1);
}

TEST(Spans, AreSentAsTheProgramEnds) {
  SpanCollector collector({200});
  {
    const auto sender = SpanSender::Start(collector.Url(), "a stack");
    Tell({"the last one", 1, 1, {}}, {});
  }
  EXPECT_THAT(SpansOf(collector.Await(1)),
              ElementsAre(::testing::ResultOf(NameOf, "the last one")));
}

TEST(Spans, BeyondWhatThereIsRoomForAreDroppedOldestFirst) {
  const double before = Dropped();
  SpanCollector collector({200});
  {
    // nobody listens there
    const auto sender = SpanSender::Start("http://127.0.0.1:1", "a stack");
    for (int i = 0; i < 5000; ++i) Tell({"one of many", 1, i, {}}, {});
  }
  EXPECT_GE(Dropped() - before, 5000 - 4096);
}

TEST(Spans, WithoutASenderAreOnlyLines) { Tell({"nobody listens", 1, 1, {}}, {}); }

}  // namespace
}  // namespace backflip::preference_broker
