// What docs/protocol.md tells the writer of a client, executed as it is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backflip/v1/people.grpc.pb.h"
#include "cli/launcher/subprocess.h"
#include "common/base/hash.h"
#include "common/client/snapshot_client.h"
#include "tests/support/await.h"
#include "tests/support/test_broker.h"

namespace backflip::testing {
namespace {

namespace fs = std::filesystem;
using preference_broker::Role;
using ::testing::HasSubstr;

// The fenced block that follows the marker of this name.
std::string WalkThrough(const std::string& name) {
  std::stringstream text;
  text << std::ifstream(SOURCE "/docs/protocol.md").rdbuf();
  const std::string page = text.str();
  const size_t marker = page.find(absl::StrCat("<!-- walk-through: ", name, " -->"));
  const size_t fence = page.find("```", marker);
  const size_t begin = page.find('\n', fence) + 1;
  const size_t end = page.find("\n```\n", begin);
  if (marker == std::string::npos || fence == std::string::npos || end == std::string::npos) {
    ADD_FAILURE() << "docs/protocol.md has no walk-through " << name;
    return "exit 1";
  }
  return page.substr(begin, end + 1 - begin);
}

bool Installed(const std::string& program) {
  return std::system(
             absl::StrCat("PATH=$PATH:" DEPENDENCIES "/bin command -v ", program, " >/dev/null")
                 .c_str()) == 0;
}

// A run whose questions are open, and somebody invited to answer them.
class WalkThroughs : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/backflip-test-XXXXXX";
    folder_ = mkdtemp(name);
    fs::create_directory_symlink(SOURCE "/proto", folder_ / "proto");
    preference_broker::BrokerOptions options;
    options.http.listen = "127.0.0.1:0";
    broker_ = std::make_unique<TestBroker>(std::move(options));

    const Peer& peer = broker_->As(Role::kOperator);
    ASSERT_TRUE(client::PutBundle(peer.client, "a bundle").ok());
    v1::PutSceneRequest scene;
    // glTF's header alone: the broker knows no more of it
    scene.set_glb(std::string("glTF\x02\x00\x00\x00\x0c\x00\x00\x00", 12));
    const auto stored = peer.Call(peer.bundles, &v1::BundleService::Stub::PutScene, scene);
    ASSERT_TRUE(stored.ok()) << stored.status();
    v1::CreateRunRequest request;
    request.set_request_id(NewId());
    *request.mutable_spec() = Parse<v1::RunSpec>("lockstep: false");
    *request.mutable_task() = TestTask(base::Sha256Hex("a bundle"), false);
    request.mutable_task()->set_scene_hash(stored->scene_hash());
    const auto run = peer.Call(peer.runs, &v1::RunService::Stub::Create, request);
    ASSERT_TRUE(run.ok()) << run.status();
    run_id_ = run->id();
    const auto learner = broker_->Claim(Role::kLearner);
    const auto trainer = broker_->Claim(Role::kTrainer);
    const auto opened = broker_->Open(run_id_, trainer.epoch(), 0,
                                      broker_->Upload(run_id_, 0, 12, /*has_true_reward=*/false));
    ASSERT_TRUE(opened.ok()) << opened.status();

    v1::InviteRequest invite;
    invite.set_request_id(NewId());
    invite.set_role(v1::INVITE_LABELER);
    invite.set_name("ada");
    const auto invited = peer.Call(v1::PeopleService::NewStub(peer.client.channel()),
                                   &v1::PeopleService::Stub::Invite, invite);
    ASSERT_TRUE(invited.ok()) << invited.status();
    secret_ = invited->secret();
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Runs a script in the folder and returns all that it printed.
  absl::StatusOr<std::string> Execute(const std::string& script) {
    std::ofstream(folder_ / "script.sh") << "cd " << folder_.string() << "\n" << script;
    const char* path = std::getenv("PATH");
    return cli::Run(
        {.argv = {"env", absl::StrCat("PATH=", path, ":" DEPENDENCIES "/bin"),
                  absl::StrCat("URL=", broker_->broker().http_url()),
                  absl::StrCat("GRPC=", broker_->address()), absl::StrCat("INVITE=", secret_),
                  "bash", "-euo", "pipefail", (folder_ / "script.sh").string()}});
  }

  // The standing answers of the run, in one word each, once there are so many.
  std::vector<std::string> Answers(size_t wanted) {
    const Peer& peer = broker_->As(Role::kOperator);
    v1::ExportRequest request;
    request.set_run_id(run_id_);
    std::vector<std::string> answers;
    // labels are numbered a moment after they are acknowledged
    EXPECT_TRUE(Await([&] {
      answers.clear();
      const auto labels = peer.ReadAll<v1::ExportedLabel>(
          peer.labeling, &v1::LabelingService::Stub::Export, request);
      EXPECT_TRUE(labels.ok()) << labels.status();
      for (const v1::ExportedLabel& label : *labels) {
        answers.push_back(v1::Choice_Name(label.answer().choice()));
      }
      return answers.size() >= wanted;
    }));
    return answers;
  }

  fs::path folder_;
  std::unique_ptr<TestBroker> broker_;
  int64_t run_id_ = 0;
  std::string secret_;
};

TEST_F(WalkThroughs, OfCurl) {
  ASSERT_TRUE(Installed("curl") && Installed("jq"))
      << "deploy/install-dependencies test installs both";
  const auto output = Execute(WalkThrough("curl"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_THAT(*output, HasSubstr("Which is better?"));
  EXPECT_EQ(fs::file_size(folder_ / "scene.glb"), 12);
  // the second answer stands
  EXPECT_THAT(Answers(1), ::testing::ElementsAre("RIGHT"));
}

TEST_F(WalkThroughs, OfGrpcurl) {
  if (!Installed("grpcurl") || !Installed("jq")) {
    GTEST_SKIP() << "grpcurl is not installed: go install "
                    "github.com/fullstorydev/grpcurl/cmd/grpcurl@latest";
  }
  const auto output = Execute(WalkThrough("grpcurl"));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_THAT(*output, HasSubstr("rpc Submit"));
  EXPECT_THAT(Answers(1), ::testing::ElementsAre("TIE"));
}

TEST_F(WalkThroughs, OfPython) {
  const std::string python = DEPENDENCIES "/python/bin/python3";
  ASSERT_TRUE(fs::exists(python)) << "deploy/install-dependencies test installs it";
  const std::string program = WalkThrough("python");
  std::ofstream(folder_ / "answer.py") << program;
  EXPECT_LE(std::count(program.begin(), program.end(), '\n'), 52);
  // the virtual environment's, as a reader's own would be
  const auto output = Execute(absl::StrCat("export PATH=" DEPENDENCIES "/python/bin:$PATH\n",
                                           WalkThrough("stubs"), "python3 answer.py \"$GRPC\" '",
                                           broker_->Token(Role::kLabeler), "' 6\n"));
  ASSERT_TRUE(output.ok()) << output.status();
  // each question compares a clip with a higher one, whichever side that is on
  EXPECT_THAT(*output, HasSubstr("LEFT"));
  EXPECT_FALSE(absl::StrContains(*output, "TIE")) << *output;
  EXPECT_EQ(Answers(6).size(), 6);
}

}  // namespace
}  // namespace backflip::testing
