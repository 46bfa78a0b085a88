// The commands for a crowd, as the real program gives them to a real broker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "backflip/v1/people.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "cli/launcher/subprocess.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using preference_broker::Role;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr int kQuestions = 6;

std::string Text(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

class Commands : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
    preference_broker::BrokerOptions options;
    options.http.listen = "127.0.0.1:0";
    broker_ = std::make_unique<TestBroker>(std::move(options));
    std::ofstream(folder_ / "operator.token") << broker_->Token(Role::kOperator) << "\n";
    const v1::Run run = broker_->CreateRun("lockstep: false labels: 100");
    run_id_ = run.id();
    broker_->Claim(Role::kLearner);
    const auto trainer = broker_->Claim(Role::kTrainer);
    clips_ = broker_->Upload(run_id_, 0, 2 * kQuestions);
    const auto opened = broker_->Open(run_id_, trainer.epoch(), 0, clips_);
    ASSERT_TRUE(opened.ok()) << opened.status();
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What the program prints; its error where it fails.
  absl::StatusOr<std::string> Backflip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), BACKFLIP);
    for (const std::string& flag :
         {absl::StrCat("--broker=", broker_->address()),
          absl::StrCat("--token-file=", (folder_ / "operator.token").string()),
          absl::StrCat("--public-url=", broker_->broker().http_url()),
          absl::StrCat("--data=", folder_.string())}) {
      arguments.push_back(flag);
    }
    return cli::Run({.argv = arguments});
  }
  std::string Ok(const std::vector<std::string>& arguments) {
    const auto output = Backflip(arguments);
    EXPECT_TRUE(output.ok()) << output.status();
    return output.value_or("");
  }
  std::string Refused(const std::vector<std::string>& arguments) {
    const auto output = Backflip(arguments);
    EXPECT_FALSE(output.ok()) << *output;
    return std::string(output.status().message());
  }

  // Presses Start behind a link that a command printed.
  std::unique_ptr<Peer> Accept(const std::string& output) {
    const std::string link = Lines(output).front();
    EXPECT_THAT(link, StartsWith(absl::StrCat(broker_->broker().http_url(), "/#invite=")));
    const std::string after = link.substr(link.find("#invite=") + 8);
    v1::AcceptInviteRequest request;
    request.set_request_id(NewId());
    request.set_secret(after.substr(0, after.find('&')));
    const Peer nobody(rpc::Client(broker_->address(), ""));
    const auto accepted = nobody.Call(v1::PeopleService::NewStub(nobody.client.channel()),
                                      &v1::PeopleService::Stub::AcceptInvite, request);
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    return std::make_unique<Peer>(
        rpc::Client(broker_->address(), accepted.ok() ? accepted->token() : ""));
  }

  // Answers `count` questions: left, right, left, …
  void Answer(const Peer& labeler, int count) {
    for (int i = 0; i < count; ++i) {
      const auto lease =
          labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
      ASSERT_TRUE(lease.ok()) << lease.status();
      ASSERT_THAT(lease->questions(), SizeIs(1)) << lease->DebugString();
      v1::SubmitRequest request;
      request.set_lease_id(lease->questions(0).lease_id());
      request.set_idempotency_key(NewId());
      request.mutable_answer()->set_choice(i % 2 == 0 ? v1::LEFT : v1::RIGHT);
      request.mutable_timing()->set_decision_ms(4000);
      request.set_note(i == 0 ? "=1+1, \"quoted\"" : "");
      const auto label =
          labeler.Call(labeler.labeling, &v1::LabelingService::Stub::Submit, request);
      ASSERT_TRUE(label.ok()) << label.status();
    }
    // acknowledged labels are numbered a moment later
    const size_t wanted = labels_ += count;
    EXPECT_TRUE(Await([&] { return Lines(Ok({"labels", "export", Run()})).size() >= wanted; }));
  }

  std::string Run() const { return absl::StrCat(run_id_); }
  v1::Run Get(int64_t id) {
    const Peer& peer = broker_->As(Role::kOperator);
    v1::GetRunRequest request;
    request.set_run_id(id);
    return peer.Call(peer.runs, &v1::RunService::Stub::Get, request).value_or(v1::Run());
  }
  json Python(const std::string& environment, const std::string& how, const fs::path& file) {
    const auto output =
        cli::Run({.argv = {absl::StrCat(DEPENDENCIES "/", environment, "/bin/python3"), SCRIPT, how,
                           file.string()}});
    EXPECT_TRUE(output.ok()) << output.status();
    const size_t begin = output.ok() ? output->find("RESULT ") : std::string::npos;
    return begin == std::string::npos ? json() : json::parse(output->substr(begin + 7));
  }

  fs::path folder_;
  std::unique_ptr<TestBroker> broker_;
  int64_t run_id_ = 0;
  size_t labels_ = 0;
  std::vector<std::string> clips_;
};

TEST_F(Commands, InviteListPauseResumeAndRevokeALabeler) {
  const auto ada = Accept(
      Ok({"labeler", "invite", "--name=ada", absl::StrCat("--runs=", run_id_), "--expires=2d"}));
  EXPECT_THAT(Refused({"labeler", "invite", "--name=ada"}), HasSubstr("ada"));
  Answer(*ada, 2);
  std::string table = Ok({"labeler", "list", "--run", Run()});
  EXPECT_THAT(table, HasSubstr("ada"));
  EXPECT_THAT(table, HasSubstr("active         2"));

  Ok({"labeler", "pause", "ada", "--reason=a break for all"});
  const auto paused =
      ada->Call(ada->labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
  ASSERT_TRUE(paused.ok()) << paused.status();
  EXPECT_EQ(paused->none(), v1::YOU_ARE_PAUSED);
  EXPECT_THAT(paused->message(), HasSubstr("a break for all"));
  EXPECT_THAT(Ok({"labeler", "list"}), HasSubstr("paused"));

  Ok({"labeler", "resume", "ada"});
  Answer(*ada, 1);
  Ok({"labeler", "revoke", "ada"});
  // not at once: a broker caches known tokens for some seconds
  absl::Status refused;
  EXPECT_TRUE(Await([&] {
    refused =
        ada->Call(ada->labeling, &v1::LabelingService::Stub::Heartbeat, v1::HeartbeatRequest())
            .status();
    return !refused.ok();
  }));
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_THAT(Refused({"labeler", "pause", "nobody"}), HasSubstr("nobody"));

  // paid by the statement, then forgotten; the labels stay
  const std::vector<std::string> statement = Lines(Ok({"labeler", "statement", "--since=1d"}));
  EXPECT_THAT(statement.front(), StartsWith("name,outside_id,labels,active_minutes"));
  EXPECT_THAT(statement, ::testing::Contains(StartsWith("ada,,3,")));
  EXPECT_THAT(Ok({"labeler", "forget", "ada"}), HasSubstr("the labels stay"));
  const std::string exported = Ok({"labels", "export", Run()});
  EXPECT_THAT(Lines(exported), SizeIs(3));
  EXPECT_THAT(exported, Not(HasSubstr("ada")));
}

TEST_F(Commands, ShowALinkWithItsQrCode) {
  const std::string output = Ok({"label", Run()});
  EXPECT_THAT(output, HasSubstr("█"));
  EXPECT_THAT(output, HasSubstr(absl::StrCat(broker_->broker().http_url(), "/#invite=")));
  EXPECT_THAT(output, HasSubstr("on this machine alone"));
}

TEST_F(Commands, ShowALinkToTheDashboardForAReviewerUnlessAnOperatorIsAskedFor) {
  const auto sql = [&] {
    return Query(broker_->database(),
                 "SELECT role || ' ' || cardinality(run_ids) || ' ' || "
                 "round(extract(epoch FROM expires_at - now()) / 3600) "
                 "FROM invites ORDER BY id DESC LIMIT 1");
  };
  const std::string begin = absl::StrCat(broker_->broker().http_url(), "/dashboard#invite=");
  EXPECT_THAT(Ok({"dashboard"}), StartsWith(begin));
  EXPECT_EQ(sql(), "reviewer 1 24");
  EXPECT_THAT(Ok({"dashboard", "--operator"}), StartsWith(begin));
  EXPECT_EQ(sql(), "operator 0 1");
}

TEST_F(Commands, TakeAnswersBackAndReopenTheirQuestions) {
  const auto ada = Accept(Ok({"labeler", "invite", "--name=ada"}));
  const auto bob = Accept(Ok({"labeler", "invite", "--name=bob"}));
  Answer(*ada, 3);
  Answer(*bob, 2);
  EXPECT_THAT(Refused({"labels", "retract"}), HasSubstr("--labeler NAME is missing"));
  EXPECT_THAT(Refused({"labels", "retract", "--labeler=ada", "--since=noon"}),
              HasSubstr("--since is 'noon'"));
  EXPECT_THAT(Ok({"labels", "retract", "--labeler=ada", "--since=2h"}),
              HasSubstr("3 answers of ada are taken back; 3 questions are open again"));
  // counted once they are numbered
  EXPECT_TRUE(Await([&] { return Get(run_id_).labels() == 2; }));
  // somebody else may answer them now
  const auto lease =
      bob->Call(bob->labeling, &v1::LabelingService::Stub::Lease, v1::LeaseRequest());
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_THAT(lease->questions(), SizeIs(1));
}

TEST_F(Commands, ExportChartsThatTensorBoardReads) {
  const fs::path folder = folder_ / "charts" / "run";
  EXPECT_THAT(Ok({"run", "export-tensorboard", Run(), folder.string()}), HasSubstr(": 0 points"));
  for (const int iteration : {1, 2}) {
    v1::ReportMetricsRequest report;
    report.set_run_id(run_id_);
    report.set_epoch(1);
    report.set_iteration(iteration);
    report.set_steps(1000 * iteration);
    (*report.mutable_values())["reward/loss"] = 0.5 / iteration;
    (*report.mutable_values())["reward/l2_penalty"] = -3.0 * iteration;
    const Peer& trainer = broker_->As(Role::kTrainer);
    const auto reported = trainer.Call(trainer.runs, &v1::RunService::Stub::ReportMetrics, report);
    ASSERT_TRUE(reported.ok()) << reported.status();
  }
  EXPECT_THAT(Ok({"run", "export-tensorboard", Run(), folder.string()}),
              HasSubstr("events.out.tfevents.0.backflip: 4 points"));
  const json read = Python("python", "tensorboard", folder);
  ASSERT_EQ(read.size(), 2u) << read;
  ASSERT_THAT(read["reward/loss"], SizeIs(2));
  EXPECT_EQ(read["reward/loss"][0][0], 1000);
  EXPECT_EQ(read["reward/loss"][0][1], 0.5);
  EXPECT_EQ(read["reward/loss"][1][1], 0.25);
  EXPECT_EQ(read["reward/l2_penalty"][1][0], 2000);
  EXPECT_EQ(read["reward/l2_penalty"][1][1], -6);
  EXPECT_NEAR(read["reward/loss"][0][2], absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()),
              60);
  EXPECT_THAT(Refused({"run", "export-tensorboard", Run(), (folder_ / "operator.token").string()}),
              HasSubstr("cannot write"));
}

TEST_F(Commands, TraceTheLifeOfALabel) {
  const auto ada = Accept(Ok({"labeler", "invite", "--name=ada"}));
  Answer(*ada, 1);
  const json label = json::parse(Lines(Ok({"labels", "export", Run()})).front());
  const std::string id = label["label_id"], question = label["question_id"];
  const std::string clip = label["clip_ids"][0];
  const std::string life = Ok({"trace", "label", id});
  EXPECT_THAT(
      life, StartsWith(absl::StrCat("label ", id, " of run ", run_id_,
                                    "; in the logs: \"trace\":\"", run_id_, "-", question, "\"")));
  EXPECT_THAT(life,
              AllOf(HasSubstr(clip.substr(0, 12) + " of batch 0"), HasSubstr("(train, round 0)"),
                    HasSubstr("to ada, answered, this label's"), HasSubstr(": left, entry 1 of"),
                    HasSubstr("no ensemble was fitted to it")));
  EXPECT_THAT(Refused({"trace", "label", "soon"}), HasSubstr("is no label's number"));
  EXPECT_THAT(Refused({"trace", "label", "4711"}), HasSubstr("there is no label 4711"));
}

TEST_F(Commands, ExportLabelsForPeopleAndPrograms) {
  const auto ada = Accept(Ok({"labeler", "invite", "--name=ada"}));
  EXPECT_THAT(Refused({"labels", "export", Run(), "--format=npz",
                       (absl::StrCat("--out=", (folder_ / "x").string()))}),
              HasSubstr("no labels that could be trained on yet"));
  Answer(*ada, 2);

  const std::vector<std::string> lines = Lines(Ok({"labels", "export", Run()}));
  ASSERT_THAT(lines, SizeIs(2));
  const json label = json::parse(lines[0]);
  EXPECT_EQ(label["schema"], 1);
  EXPECT_EQ(label["labeler"], "ada");
  EXPECT_EQ(label["answer"]["choice"], "LEFT");
  EXPECT_EQ(label["timing"]["decision_ms"], 4000);
  EXPECT_THAT(label["clip_ids"], SizeIs(2));

  const std::string csv = Ok({"labels", "export", Run(), "--format=csv"});
  EXPECT_THAT(csv, StartsWith("schema,label_id,question_id,purpose,clips,answer,labeler"));
  EXPECT_THAT(csv, HasSubstr(",left,ada,"));
  EXPECT_THAT(csv, HasSubstr("\"'=1+1, \"\"quoted\"\"\""));

  EXPECT_THAT(Refused({"labels", "export", Run(), "--format=npz"}), HasSubstr("--out FILE.npz"));
  const fs::path npz = folder_ / "labels.npz";
  Ok({"labels", "export", Run(), "--format=npz", absl::StrCat("--out=", npz.string())});
  const json bpref = Python("python", "bpref", npz);
  // 3 steps of 2 observations and 1 action
  EXPECT_EQ(bpref["shape"], json({2, 3, 3}));
  EXPECT_EQ(bpref["same"], true);
  EXPECT_EQ(bpref["label"], json({{0.0}, {1.0}}));

  const fs::path file = folder_ / "trajectories.npz";
  Ok({"labels", "export", Run(), "--format=trajectories", absl::StrCat("--out=", file.string())});
  const json pairs = Python("python", "numpy", file);
  EXPECT_EQ(pairs["pairs"], 2);
  EXPECT_EQ(pairs["preferences"], json({1.0, 0.0}));
  EXPECT_EQ(pairs["steps"], json({3, 3, 3, 3}));
  EXPECT_EQ(pairs["moments"], json({4, 4, 4, 4}));
  // the first moment of both, the action after the observation
  const auto observation = [](const json& row) { return json({row[0], row[1]}); };
  EXPECT_EQ(observation(bpref["first"]), pairs["first"]);
  EXPECT_EQ(observation(bpref["second"]), pairs["second"]);
}

TEST_F(Commands, ExportPairsThatImitationLoads) {
  if (!fs::exists(DEPENDENCIES "/imitation")) {
    GTEST_SKIP() << "imitation is not installed: deploy/install-dependencies imitation";
  }
  const auto ada = Accept(Ok({"labeler", "invite", "--name=ada"}));
  Answer(*ada, 4);
  const fs::path file = folder_ / "trajectories.npz";
  Ok({"labels", "export", Run(), "--format=trajectories", absl::StrCat("--out=", file.string())});
  const json pairs = Python("imitation", "imitation", file);
  EXPECT_EQ(pairs["pairs"], 4);
  EXPECT_EQ(pairs["preferences"], json({1.0, 0.0, 1.0, 0.0}));
  EXPECT_EQ(pairs["first"], Python("python", "numpy", file)["first"]);
}

TEST_F(Commands, ImportWhatAnotherRunExportedOnce) {
  const auto ada = Accept(Ok({"labeler", "invite", "--name=ada"}));
  Answer(*ada, 3);
  const fs::path file = folder_ / "labels.jsonl";
  Ok({"labels", "export", Run(), "--clips", absl::StrCat("--out=", file.string())});
  EXPECT_THAT(Lines(Text(file)), SizeIs(3 + 6));

  const v1::Run other = broker_->CreateRun("lockstep: false labels: 100");
  const std::string target = absl::StrCat("--run=", other.id());
  EXPECT_THAT(Refused({"labels", "import", file.string()}), HasSubstr("--run RUN is missing"));
  EXPECT_THAT(Ok({"labels", "import", file.string(), target}),
              HasSubstr("3 labels and 6 clips are new, 0 labels"));
  EXPECT_THAT(Ok({"labels", "import", file.string(), target}),
              HasSubstr("0 labels and 0 clips are new, 3 labels"));
  EXPECT_THAT(Lines(Ok({"labels", "export", absl::StrCat(other.id())})), SizeIs(3));

  // a line that is neither names itself, and nothing is taken
  std::ofstream(file, std::ios::app)
      << "{\"clip_ids\": [\"x\"], \"answer\": {\"choice\": \"UP\"}}\n";
  EXPECT_THAT(Refused({"labels", "import", file.string(), target}), HasSubstr("labels.jsonl:10: "));
  EXPECT_THAT(Refused({"labels", "import", (folder_ / "none").string(), target}),
              HasSubstr("cannot read"));
}

TEST_F(Commands, SayWhatIsWrongWithTheBrokerOrTheToken) {
  const auto refused = [](const std::vector<std::string>& flags) {
    std::vector<std::string> argv = {BACKFLIP, "runs"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    const auto output = cli::Run({.argv = argv});
    EXPECT_FALSE(output.ok()) << *output;
    return std::string(output.status().message());
  };
  const std::string good = absl::StrCat("--broker=", broker_->address());
  const std::string bad_token = (folder_ / "bad.token").string();
  std::ofstream(bad_token) << "a token that nobody was given\n";
  EXPECT_THAT(refused({good}), HasSubstr("--broker needs --token-file"));
  EXPECT_THAT(refused({good, "--token-file=/nowhere"}),
              HasSubstr("cannot read the token file '/nowhere'"));
  EXPECT_THAT(refused({good, absl::StrCat("--token-file=", bad_token)}), HasSubstr("token"));
  EXPECT_THAT(refused({absl::StrCat("--broker=unix:", (folder_ / "none.sock").string()),
                       absl::StrCat("--token-file=", bad_token)}),
              AllOf(HasSubstr("no broker answers at unix:"),
                    HasSubstr("does one run there that speaks plain text")));
}

TEST_F(Commands, HaveTheirFlagsInTheirHelp) {
  const std::string help = Ok({"labels", "--help"});
  EXPECT_THAT(help, HasSubstr("backflip labels retract --labeler NAME"));
  EXPECT_THAT(help, HasSubstr("--format"));
  EXPECT_THAT(help, Not(HasSubstr("--consent")));
  EXPECT_THAT(Ok({"--help"}), HasSubstr("labels export RUN"));
  EXPECT_EQ(Ok({"help"}), Ok({"--help"}));
  EXPECT_EQ(Ok({"help", "labels", "export"}), Ok({"labels", "export", "--help"}));
  EXPECT_THAT(Ok({"help", "spec"}), HasSubstr("\nppo.discount: "));
  EXPECT_THAT(Ok({"labels", "export", "--help"}), Not(HasSubstr("--labeler")));
}

TEST_F(Commands, RefuseWhatTheyDoNotTakeAndNameTheNearest) {
  EXPECT_THAT(Refused({"runs", "--teacher=oracle"}),
              HasSubstr("`backflip runs` takes no --teacher; `backflip runs --help`"));
  EXPECT_THAT(Refused({"labels", "export", Run(), "--fromat=csv"}),
              HasSubstr("did you mean --format?"));
  EXPECT_THAT(Refused({"rums"}), HasSubstr("did you mean `backflip runs`?"));
  EXPECT_THAT(Refused({"labels", "exprot", Run()}),
              HasSubstr("did you mean `backflip labels export`?"));
  EXPECT_THAT(Refused({"cancel"}), HasSubstr("usage: backflip cancel RUN"));
}

TEST_F(Commands, TrainRefusesWhatCannotBeServedBeforeAnythingStarts) {
  const auto refusal = [&](const std::string& from, const std::string& to,
                           const std::string& file = "/task.textproto") {
    const std::string task = (folder_ / "task").string();
    fs::remove_all(task);
    fs::copy(TASKS "/hopper_backflip_guided", task);
    const std::string text = Text(task + file);
    EXPECT_THAT(text, HasSubstr(from));
    std::ofstream(task + file) << absl::StrReplaceAll(text, {{from, to}});
    return Refused({"train", "--task=" + task});
  };
  EXPECT_THAT(
      refusal("frame_skip: 4", "frame_skip: 4 metric { name: \"wrong\" max: \"log(z - 100)\" }"),
      HasSubstr("metric \"wrong\" is nan after step 1"));
  EXPECT_THAT(refusal("environments: 16", "environments: 256"),
              HasSubstr("has 60 steps, and an environment gives 32 to a batch"));
  std::string many = "<worldbody>";
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&many, "<body/>");
  EXPECT_THAT(refusal("<worldbody>", many, "/model.xml"),
              HasSubstr("clips of 60 steps with 1004 bodies are too large"));
}

TEST_F(Commands, KeepTokens) {
  const std::string file = (folder_ / "host.token").string();
  EXPECT_THAT(Ok({"token", "create", "--name", "host 7", "--expires", "90d", "--out", file}),
              HasSubstr("of host 7 is in"));
  const std::string made = Text(file);
  EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  std::string id;
  for (const std::string& line : Lines(Ok({"token", "list"}))) {
    if (absl::StrContains(line, "host 7"))
      id = std::string(absl::StripLeadingAsciiWhitespace(line));
  }
  id = id.substr(0, id.find(' '));
  Ok({"token", "rotate", id, "--out", file});
  EXPECT_NE(Text(file), made);
  EXPECT_THAT(Ok({"token", "list", "--all"}), HasSubstr("revoked"));
  Refused({"token", "revoke", "the first"});
  const std::string audit = Ok({"audit", "--name", "operator", "--since", "1h"});
  EXPECT_THAT(audit, HasSubstr("make token"));
  EXPECT_THAT(audit, HasSubstr("rotate token"));
}

TEST_F(Commands, DeleteARunOnceItHasEndedAndItsLabelsAreSaidToGo) {
  Answer(broker_->As(Role::kLabeler), 1);
  EXPECT_THAT(Refused({"run", "delete", Run()}), HasSubstr("cancel it first"));
  Ok({"cancel", Run()});
  EXPECT_THAT(Refused({"run", "delete", Run()}), HasSubstr("--labels"));
  EXPECT_THAT(Ok({"gc", "--dry-run"}), HasSubstr("this was a dry run"));
  EXPECT_THAT(Ok({"run", "delete", Run(), "--labels"}), HasSubstr("12  clips"));
  EXPECT_THAT(Ok({"audit", "--run", Run()}), HasSubstr("delete run"));
}

TEST_F(Commands, StopAsking) {
  Ok({"run", "stop-asking", Run()});
  EXPECT_TRUE(Get(run_id_).asking_stopped());
  EXPECT_THAT(Refused({"run", "stop-asking", "99"}), HasSubstr("99"));
}

TEST_F(Commands, RefuseAForkOfWhatThereIsNot) {
  EXPECT_THAT(Refused({"run", "fork", Run()}), HasSubstr("RUN@VERSION"));
  EXPECT_THAT(Refused({"run", "fork", absl::StrCat(run_id_, "@12")}), HasSubstr("12"));
}

TEST_F(Commands, KeepPairsWhoseAnswerIsKnown) {
  EXPECT_THAT(Refused({"gold", "add", Run(), clips_[0], clips_[1]}),
              HasSubstr("--answer SIDE is missing: left (the first clip is better)"));
  const std::string gold = Lines(Ok({"gold", "add", Run(), clips_[0], clips_[1], "--answer=right",
                                     "--use=qualify", "--why=it turns further"}))
                               .front();
  const std::string table = Ok({"gold", "list", Run()});
  EXPECT_THAT(table, HasSubstr("qualify"));
  EXPECT_THAT(table, HasSubstr("it turns further"));
  Ok({"gold", "remove", gold});
  EXPECT_THAT(Lines(Ok({"gold", "list", Run()})), SizeIs(1));
}

TEST_F(Commands, ListInvitesRaiseACapAndWithdrawALink) {
  const std::string link = Lines(Ok({"labeler", "invite", "--name=ada", "--runs", Run()})).front();
  const std::string invite = Query(broker_->database(), "SELECT max(id) FROM invites");
  Ok({"labeler", "invite", "--name=crowd", "--group", "--cap=2"});
  const std::string group = Query(broker_->database(), "SELECT max(id) FROM invites");
  const std::vector<std::string> table = Lines(Ok({"labeler", "invites"}));
  EXPECT_THAT(table[1], AllOf(HasSubstr("crowd"), HasSubstr("open"), HasSubstr("0 of 2")));
  EXPECT_THAT(table[2], AllOf(HasSubstr("ada"), HasSubstr("labeler"), HasSubstr("open")));
  EXPECT_EQ(Ok({"labeler", "cap", group, "60"}), "0 of 60 places are taken\n");
  EXPECT_THAT(Refused({"labeler", "cap", invite, "60"}), HasSubstr("for one person"));
  EXPECT_THAT(Refused({"labeler", "cap", group, "many"}), HasSubstr("'many' is no number"));
  Ok({"labeler", "withdraw", invite});
  EXPECT_THAT(Lines(Ok({"labeler", "invites"}))[2], HasSubstr("withdrawn"));
  EXPECT_THAT(Refused({"labeler", "withdraw", "ada"}), HasSubstr("'ada' is no invite"));
  EXPECT_THAT(Refused({"labeler", "reset", "ada"}), HasSubstr("there is no labeler 'ada'"));
}

TEST_F(Commands, InviteAGroupAndSayWhatIsMissing) {
  const std::string link =
      Ok({"labeler", "invite", "--name=prolific", "--group", "--cap=2", "--consent=Clips only.",
          "--price=12 EUR an hour", "--completion-code=C0DE", "--answers=50",
          "--redirect=https://app.prolific.com/submissions/complete?cc=C0DE"});
  EXPECT_THAT(link, HasSubstr("/?PROLIFIC_PID={{%PROLIFIC_PID%}}#invite="));
  EXPECT_THAT(
      Refused({"labeler", "invite", "--name=mturk", "--group", "--redirect=http://example.org"}),
      HasSubstr("group.redirect_url must be https://"));
  v1::DescribeInviteRequest request;
  request.set_secret(Lines(link).front().substr(link.find("#invite=") + 8));
  const Peer nobody(rpc::Client(broker_->address(), ""));
  const auto described = nobody.Call(v1::PeopleService::NewStub(nobody.client.channel()),
                                     &v1::PeopleService::Stub::DescribeInvite, request);
  ASSERT_TRUE(described.ok()) << described.status();
  EXPECT_TRUE(described->needs_outside_id());
  EXPECT_EQ(described->consent(), "Clips only.");
  EXPECT_EQ(described->answers_wanted(), 50);
  EXPECT_THAT(Refused({"labeler", "invite"}), HasSubstr("--name NAME is missing"));
  EXPECT_THAT(Refused({"labeler", "invite", "--name=eve", "--role=king"}),
              HasSubstr("--role is 'king'"));
  EXPECT_THAT(Refused({"labeler", "invite", "--name=eve", "--expires=soon"}),
              HasSubstr("--expires is 'soon'"));
  EXPECT_THAT(Refused({"labeler"}), HasSubstr("labeler invite, invites, cap, withdraw, list"));
}

}  // namespace
}  // namespace backflip::testing
