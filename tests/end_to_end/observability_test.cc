// What the real programs of a run tell Prometheus is what dashboards and alerts ask for, and what
// the documentation has.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/launcher/subprocess.h"
#include "tests/support/span_collector.h"
#include "tests/support/stack.h"

namespace backflip::testing {
namespace {

// The lines of a log that are in its format, from the oldest on.
std::vector<nlohmann::json> Entries(const std::string& log) {
  std::vector<nlohmann::json> entries;
  for (const absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.is_object()) entries.push_back(std::move(entry));
  }
  return entries;
}

// Where a program serves its metrics, by its log.
std::string MetricsPort(const std::string& log) {
  for (const nlohmann::json& entry : Entries(log)) {
    if (entry["event"] == "serving metrics") return absl::StrCat(entry["port"].get<int>());
  }
  return "";
}

// What a log says of one label.
std::vector<std::string> EventsOf(const std::string& trace, const std::string& log) {
  std::vector<std::string> events;
  for (const nlohmann::json& entry : Entries(log)) {
    if (entry.value("trace", "") == trace) events.push_back(entry["event"]);
  }
  return events;
}

void CallUnknownMethod(const rpc::Client& client) {
  grpc::GenericStub stub(client.channel());
  grpc::CompletionQueue queue;
  const auto context = client.UnaryContext();
  const auto call = stub.PrepareUnaryCall(context.get(), "/a.stranger/Method", {}, &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
}

TEST(Observability, EveryQueryOfDashboardsAndRulesReturnsWhatTheProgramsOfARunTell) {
  SpanCollector collector({200});
  auto started = Stack::Start({.flags = {"--metrics_listen=127.0.0.1:0"},
                               .broker_flags = {"--otlp_endpoint=" + collector.Url()}});
  ASSERT_TRUE(started.ok()) << started.status();
  Stack& stack = **started;
  ASSERT_TRUE(stack.StartServing().ok());
  v1::RunSpec spec;
  spec.set_labels(400);
  // it must not end meanwhile
  spec.set_steps(2000 * 800);
  spec.set_kept_snapshots(200);
  spec.mutable_collection()->set_environments(4);
  spec.mutable_collection()->set_batch_steps(800);
  spec.mutable_collection()->set_clips_per_batch(8);
  spec.mutable_ppo()->set_epochs(1);
  spec.mutable_reward_model()->set_updates_per_label(0.5);
  spec.mutable_reward_model()->set_updates_per_batch(2);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_pool(100);
  const auto run = stack.Create("hopper", spec);
  ASSERT_TRUE(run.ok()) << run.status();
  const auto labeler = stack.ClientOf("teacher");
  ASSERT_TRUE(labeler.ok()) << labeler.status();
  CallUnknownMethod(*labeler);
  const auto learning =
      stack.Await(run->id(), [](const v1::Run& now) { return now.iterations() >= 3; });
  ASSERT_TRUE(learning.ok()) << learning.status();
  std::vector<std::string> argv = {BACKFLIP_ROOT "/.dependencies/python/bin/python3",
                                   BACKFLIP_ROOT "/tests/end_to_end/observe.py", BACKFLIP_ROOT};
  for (const auto& [name, program] : {std::pair("broker", Program::kBroker),
                                      {"policy-learner", Program::kLearner},
                                      {"reward-trainer", Program::kTrainer},
                                      {"rollout-worker", Program::kWorker},
                                      {"labeler", Program::kTeacher}}) {
    argv.push_back(absl::StrCat(name, "=", MetricsPort(stack.Log(program))));
  }
  const auto watched = cli::Run({.argv = argv});
  EXPECT_TRUE(watched.ok()) << watched.status();

  EXPECT_EQ(
      stack.Sql("SELECT string_agg(DISTINCT coalesce(c.role, 'broker'), ' ') FROM run_configs r "
                "LEFT JOIN callers c ON c.id = r.caller_id WHERE r.config LIKE '%metrics_listen%'"),
      "broker learner trainer worker");

  // One id from the question to the policy, in the broker's log. The learner tells of a label after
  // the iteration that learned from it.
  const std::string label = stack.Sql(absl::StrCat(
      "SELECT l.run_id || '-' || l.question_id FROM labels l WHERE l.position = 1 AND l.run_id = ",
      run->id()));
  std::vector<std::string> events;
  const auto told = stack.Await(run->id(), [&](const v1::Run&) {
    events = EventsOf(label, stack.Log(Program::kBroker));
    return events.size() >= 4;
  });
  EXPECT_TRUE(told.ok()) << told.status();
  // each is told after it was stored, by a thread of its own
  EXPECT_THAT(events, ::testing::UnorderedElementsAre("question opened", "answer stored",
                                                      "an ensemble learned from an answer",
                                                      "a policy learned from an answer"));

  // and the same in what a collector takes
  EXPECT_EQ(stack.Drain(Program::kBroker), absl::OkStatus());
  std::vector<std::string> spans;
  for (const nlohmann::json& span : SpansOf(collector.Await(1))) {
    for (const nlohmann::json& attribute : span["attributes"]) {
      if (attribute["key"] == "backflip.trace" && attribute["value"]["stringValue"] == label)
        spans.push_back(span["name"]);
    }
  }
  EXPECT_THAT(spans, ::testing::UnorderedElementsAreArray(events));
}

}  // namespace
}  // namespace backflip::testing
