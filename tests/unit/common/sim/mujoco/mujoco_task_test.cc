#include "common/sim/mujoco/mujoco_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/experience/limits.h"
#include "common/sim/environment.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using enum Environment::Purpose;

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

// The task's quantities in the state that an environment is in.
class Values {
 public:
  explicit Values(const Task& task)
      : task_(**MujocoTask::Of(task)),
        data_(mj_makeData(task_.model())),
        values_(*QuantityValues::Create(task_.quantities(), task_.model())) {}

  double Of(const Environment& environment, const std::string& name) {
    mj_setState(task_.model(), data_.get(), environment.Save().physics.data(), mjSTATE_INTEGRATION);
    EXPECT_TRUE(values_.Update(/*after_step=*/false, environment.episode_step(), data_.get()).ok());
    const auto& names = task_.quantities().names;
    return values_[std::find(names.begin(), names.end(), name) - names.begin()];
  }

 private:
  const MujocoTask& task_;
  const DataPtr data_;
  QuantityValues values_;
};

// A task folder of its own for each test.
class TaskFolder : public testing::Test {
 protected:
  TaskFolder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = testing::TempDir() + "/task_" + info->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    Write("model.xml", Read(BACKFLIP_TASKS "/hopper_backflip_guided/model.xml"));
    task_ = Read(BACKFLIP_TASKS "/hopper_backflip_guided/task.textproto");
    Write(kTaskFile, task_);
  }
  ~TaskFolder() override { fs::remove_all(folder_); }

  void Write(const std::string& path, const std::string& content) {
    fs::create_directories(fs::path(folder_ + "/" + path).parent_path());
    std::ofstream(folder_ + "/" + path, std::ios::binary) << content;
  }

  // The error after one replacement in the task file.
  std::string ErrorWith(const std::string& from, const std::string& to) {
    EXPECT_THAT(task_, HasSubstr(from));
    Write(kTaskFile, absl::StrReplaceAll(task_, {{from, to}}));
    const auto task = Task::FromFolder(folder_);
    EXPECT_FALSE(task.ok());
    return std::string(task.status().message());
  }

  std::string folder_, task_;
};

TEST_F(TaskFolder, LoadsTheHopper) {
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->observation_size(), 17);
  EXPECT_EQ((*task)->action_size(), 3);
  EXPECT_DOUBLE_EQ((*task)->step_seconds(), 0.008);
  EXPECT_EQ((*task)->metric_names(),
            (std::vector<std::string>{"turns", "landed_backflips", "published_return"}));
}

TEST_F(TaskFolder, NamesFileAndLineOfAnUnknownField) {
  EXPECT_THAT(ErrorWith("frame_skip: 4", "frame_skipp: 4"),
              AllOf(HasSubstr("task.textproto:4:"), HasSubstr("frame_skipp")));
}

TEST_F(TaskFolder, RefusesANegativeFrameSkip) {
  EXPECT_THAT(ErrorWith("frame_skip: 4", "frame_skip: -4"),
              HasSubstr("task.textproto:4: frame_skip: is -4; must be 1 to 10000"));
}

TEST_F(TaskFolder, RefusesAnExpressionOverAnUnknownName) {
  EXPECT_THAT(
      ErrorWith("max(0, upright)", "max(0, uprite)"),
      AllOf(HasSubstr("true_reward: unknown name \"uprite\""), HasSubstr("known here: z, pitch")));
  EXPECT_THAT(ErrorWith("change: \"turned\"", "change: \"spins\""),
              HasSubstr("unknown name \"spins\""));
  EXPECT_THAT(ErrorWith("\"cos(pitch)\"", "\"cos(body)\""),
              HasSubstr("unknown name \"body\""));  // declared later
}

TEST_F(TaskFolder, RefusesASyntaxErrorInAnExpression) {
  EXPECT_THAT(ErrorWith("\"cos(pitch)\"", "\"cos(pitch\""), HasSubstr("expression:"));
}

// A task of a model in tests/models, with more of the task file's text.
absl::StatusOr<std::shared_ptr<const Task>> TaskOf(const std::string& folder,
                                                   const std::string& model,
                                                   const std::string& text) {
  std::ofstream(folder + "/model.xml") << Read(BACKFLIP_MODELS "/" + model);
  std::ofstream(folder + "/" + kTaskFile)
      << "name: \"t\" model: \"model.xml\" frame_skip: 1 episode_steps: 100\n"
         "clip { steps: 10 } question: \"Which?\"\n" +
             text;
  return Task::FromFolder(folder);
}

TEST_F(TaskFolder, ActionsAndPowerGoByControlsWhereAnActuatorTakesSeveralOrNone) {
  const auto task = TaskOf(folder_, "controls.xml", R"(observation { qvel {} }
    quantity { name: "position" action { actuator: "servo" } }
    quantity { name: "speed" action { actuator: "servo" control: 1 } }
    quantity { name: "motor" action { actuator: "mb" } }
    quantity { name: "power" power { actuator: "mb" } }
    quantity { name: "all" power {} })");
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->action_size(), 3);
  const auto environment = *(*task)->MakeEnvironment();
  ASSERT_TRUE(environment->Begin(1, kEvaluation).ok());
  const float action[] = {0.25f, -0.5f, 0.75f};
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(environment->Step(action).ok());
  Values values(**task);
  EXPECT_DOUBLE_EQ(values.Of(*environment, "position"), 0.25);
  EXPECT_DOUBLE_EQ(values.Of(*environment, "speed"), -0.5);
  EXPECT_DOUBLE_EQ(values.Of(*environment, "motor"), 0.75);
  float rates[2];
  environment->Observe(rates);
  EXPECT_GT(std::abs(rates[0]), 0.01);
  EXPECT_NEAR(values.Of(*environment, "power"), 0.75 * rates[1], 1e-6);
  EXPECT_NEAR(values.Of(*environment, "all"), 0.25 * rates[0] + 0.75 * rates[1], 1e-6);
}

TEST_F(TaskFolder, RefusesAControlThatAnActuatorDoesNotTake) {
  const auto error = [&](const std::string& quantity) {
    const auto task =
        TaskOf(folder_, "controls.xml", absl::StrCat("observation { qpos {} }\n", quantity));
    return std::string(task.status().message());
  };
  EXPECT_THAT(error(R"(quantity { name: "a" action { actuator: "brake" } })"),
              HasSubstr("actuator: is brake; the actuator takes 0 controls"));
  EXPECT_THAT(error(R"(quantity { name: "a" action { actuator: "servo" control: 2 } })"),
              HasSubstr("control: is 2; the actuator takes 2 controls"));
  EXPECT_THAT(error(R"(quantity { name: "a" power { actuator: "brake" } })"),
              HasSubstr("takes no control"));
}

TEST_F(TaskFolder, ObservesActivations) {
  const auto task = TaskOf(folder_, "muscles.xml", "observation { act { clip: 0.5 } }");
  ASSERT_TRUE(task.ok()) << task.status();
  ASSERT_EQ((*task)->observation_size(), 2);
  const auto environment = *(*task)->MakeEnvironment();
  ASSERT_TRUE(environment->Begin(1, kEvaluation).ok());
  const float action[] = {1, 1};
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(environment->Step(action).ok());
  float act[2];
  environment->Observe(act);
  EXPECT_EQ(act[0], 0.5f);         // 0.97, clipped
  EXPECT_NEAR(act[1], 0.2, 1e-6);  // 1 rad/s for 0.2 s
  EXPECT_THAT(
      std::string(
          TaskOf(folder_, "muscles.xml", "observation { act { from: 2 } }").status().message()),
      HasSubstr("from: is 2; must be 0 to 1"));
}

TEST_F(TaskFolder, SeesFreeBodiesWithoutTheWorldsHeading) {
  const auto task = TaskOf(folder_, "hidden.xml",
                           "observation { qpos { from: 2 to: 7 } body_axes: true qvel { to: 3 } }");
  ASSERT_TRUE(task.ok()) << task.status();
  ASSERT_EQ((*task)->observation_size(), 1 + 3 + 3);
  const auto environment = *(*task)->MakeEnvironment();
  ASSERT_TRUE(environment->Begin(1, kEvaluation).ok());
  const auto& model = *(*MujocoTask::Of(**task))->model();
  const DataPtr data(mj_makeData(&model));
  // leaning, moving along its own x axis and up, and turned about the vertical by some angles
  std::vector<float> first;
  for (const double heading : {0.0, 1.0, -2.5}) {
    EnvironmentState state = environment->Save();
    mj_setState(&model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
    const mjtNum vertical[3] = {0, 0, 1}, side[3] = {0, 1, 0}, velocity[3] = {2, 0, 0.5};
    mjtNum turn[4], lean[4];
    mju_axisAngle2Quat(turn, vertical, heading);
    mju_axisAngle2Quat(lean, side, 0.4);
    mju_mulQuat(data->qpos + 3, turn, lean);
    mju_rotVecQuat(data->qvel, velocity, turn);
    mj_getState(&model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
    ASSERT_TRUE(environment->Restore(state).ok());
    std::vector<float> seen(7);
    environment->Observe(seen.data());
    if (first.empty()) first = seen;
    for (int i = 0; i < 7; ++i) EXPECT_NEAR(seen[i], first[i], 1e-5) << i << " at " << heading;
  }
  EXPECT_NEAR(first[1], -std::sin(0.4), 1e-5);
  EXPECT_NEAR(first[3], std::cos(0.4), 1e-5);
  EXPECT_NEAR(first[4], 2 * std::cos(0.4) - 0.5 * std::sin(0.4), 1e-5);
}

TEST_F(TaskFolder, CameraFollowsTheRobotAtADistanceOfItsOwnSize) {
  const auto task = TaskOf(folder_, "large_scene.xml", "observation { qpos {} }");
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_STREQ(mj_id2name((*MujocoTask::Of(**task))->model(), mjOBJ_BODY,
                          (*MujocoTask::Of(**task))->tracked_body()),
               "torso");
  EXPECT_GT((*task)->task().camera().distance(), 1);
  EXPECT_LT((*task)->task().camera().distance(), 4);
}

TEST_F(TaskFolder, RefusesAnActionSizeThatDoesNotFit) {
  EXPECT_THAT(ErrorWith("action_size: 3", "action_size: 4"),
              HasSubstr("action_size: is 4; the model has 3 controls"));
}

TEST_F(TaskFolder, RefusesUnknownElementsOfTheModel) {
  EXPECT_THAT(ErrorWith("body { name: \"torso\"", "body { name: \"torsoo\""),
              AllOf(HasSubstr("no body \"torsoo\""), HasSubstr("torso, thigh")));
  EXPECT_THAT(ErrorWith("angle: \"rooty\"", "angle: \"rootz2\""), HasSubstr("no joint \"rootz2\""));
  EXPECT_THAT(ErrorWith("track: \"torso\"", "track: \"head\""), HasSubstr("no body \"head\""));
  EXPECT_THAT(ErrorWith("with_geom: \"floor\"", "with_geom: \"lava\""),
              HasSubstr("with_geom: the model has no geom \"lava\""));
}

TEST_F(TaskFolder, RefusesRangesThatDoNotFit) {
  EXPECT_THAT(ErrorWith("qpos { from: 1 }", "qpos { from: 6 }"),
              HasSubstr("from: is 6; must be 0 to 5"));
  EXPECT_THAT(ErrorWith("qpos { from: 1 }", "qpos { from: 1 to: 9 }"),
              HasSubstr("to: is 9; the model has 6"));
  EXPECT_THAT(ErrorWith("qvel { clip: 25 }", "qvel { clip: -1 }"), HasSubstr("clip: is -1"));
  EXPECT_THAT(ErrorWith("steps: 60", "steps: 501"), HasSubstr("steps: is 501; must be 1 to 500"));
  EXPECT_THAT(ErrorWith("qpos_noise: 0.005", "qpos_noise: -1"), HasSubstr("qpos_noise: is -1"));
  EXPECT_THAT(ErrorWith("qpos_noise: 0.005", "qpos_noise: nan"), HasSubstr("qpos_noise: is nan"));
}

TEST_F(TaskFolder, RefusesTheSameNameTwice) {
  EXPECT_THAT(ErrorWith("name: \"vx\"", "name: \"z\""), HasSubstr("a second quantity \"z\""));
}

TEST_F(TaskFolder, RefusesAnUnknownQuantityInTheObservation) {
  EXPECT_THAT(ErrorWith("qvel { clip: 25 }", "qvel {} quantity: \"q\""),
              HasSubstr("unknown quantity \"q\""));
}

TEST_F(TaskFolder, SaysWhichFileIsMissing) {
  EXPECT_THAT(ErrorWith("model.xml", "robot.xml"), HasSubstr("no file \"robot.xml\""));
  EXPECT_THAT(std::string(Task::FromFolder(folder_ + "/no").status().message()),
              HasSubstr("no such file"));
}

TEST_F(TaskFolder, PassesOnMuJoCosWordsAboutABadModel) {
  Write("model.xml", "<mujoco><worldbody><geom type='cubus'/></worldbody></mujoco>");
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              AllOf(HasSubstr("model:"), HasSubstr("cubus")));
}

TEST_F(TaskFolder, TravelsAsABundle) {
  const auto first = Task::FromFolder(folder_);
  ASSERT_TRUE(first.ok()) << first.status();
  Write("notes.txt", "not part of the task");
  const auto again = Task::FromFolder(folder_);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*first)->bundle().hash, (*again)->bundle().hash);
  const auto there = Task::FromBundle((*first)->bundle().bytes);
  ASSERT_TRUE(there.ok()) << there.status();
  EXPECT_EQ((*there)->bundle().hash, (*first)->bundle().hash);
  EXPECT_EQ((*there)->fingerprint(), (*first)->fingerprint());
}

constexpr char kArm[] = R"(<mujoco>
  <compiler meshdir="assets/meshes"/>
  <include file="parts/extra.xml"/>
  <asset><mesh name="box" file="box.obj"/></asset>
  <worldbody><body name="arm"><joint name="j"/><geom type="mesh" mesh="box"/></body></worldbody>
  <actuator><motor name="m" joint="j" ctrlrange="-1 1"/></actuator>
</mujoco>)";
constexpr char kBox[] =
    "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\n"
    "v -1 1 1\nf 1 2 3 4\nf 5 8 7 6\nf 1 5 6 2\nf 2 6 7 3\nf 3 7 8 4\nf 4 8 5 1\n";
constexpr char kArmTask[] = R"(name: "arm" model: "model.xml" frame_skip: 4
episode_steps: 100 observation { qpos {} qvel {} } clip { steps: 20 }
question: "Which?")";

TEST_F(TaskFolder, TakesMeshesAndIncludesAlong) {
  Write("model.xml", kArm);
  Write("parts/extra.xml", "<mujoco><worldbody><light pos='0 0 3'/></worldbody></mujoco>");
  Write("assets/meshes/box.obj", kBox);
  Write(kTaskFile, kArmTask);
  const auto packed = PackBundle(folder_, MujocoTask::ReadModel);
  ASSERT_TRUE(packed.ok()) << packed.status();
  const auto message = UnpackBundle(packed->bytes);
  ASSERT_TRUE(message.ok()) << message.status();
  ASSERT_EQ(message->files_size(), 4);
  EXPECT_EQ(message->files(0).path(), "assets/meshes/box.obj");
  fs::remove_all(folder_);  // another host
  const auto task = Task::FromBundle(packed->bytes);
  ASSERT_TRUE(task.ok()) << task.status();
  const mjModel* model = (*MujocoTask::Of(**task))->model();
  EXPECT_EQ(model->nmesh, 1);
  EXPECT_EQ(model->nlight, 1);
}

TEST_F(TaskFolder, KeepsTheModelWithinItsFolder) {
  Write("model.xml", absl::StrReplaceAll(kArm, {{"parts/extra.xml", "../x.xml"}}));
  Write("assets/meshes/box.obj", kBox);
  Write(kTaskFile, kArmTask);
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              HasSubstr("outside of the task's folder"));
  Write("box.obj", kBox);
  Write("model.xml", absl::StrReplaceAll(kArm, {{"<include file=\"parts/extra.xml\"/>", ""},
                                                {"box.obj", folder_ + "/box.obj"},
                                                {"meshdir=\"assets/meshes\"", ""}}));
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              HasSubstr("paths must be relative"));
}

TEST(ShippedTasks, OfOneRobotHaveOneModel) {
  const auto model = [](const std::string& task) {
    return Read(absl::StrCat(BACKFLIP_TASKS "/", task, "/model.xml"));
  };
  EXPECT_EQ(model("hopper_backflip"), model("hopper"));
  EXPECT_EQ(model("hopper_backflip_guided"), model("hopper"));
  EXPECT_EQ(model("half_cheetah_one_leg"), model("half_cheetah"));
}

// Of the plain hopper, held up in the air at these angles (rad, one after the other), then put on
// its foot at the last one: whether its taste pays for a landing.
bool Lands(const std::vector<double>& pitches) {
  const auto task = Task::FromFolder(BACKFLIP_TASKS "/hopper_backflip");
  EXPECT_TRUE(task.ok()) << task.status();
  const auto environment = (*task)->MakeEnvironment();
  EXPECT_TRUE((*environment)->Begin(1, kEvaluation).ok());
  const mjModel* model = (*MujocoTask::Of(**task))->model();
  const DataPtr data(mj_makeData(model));
  Values values(**task);
  const float still[] = {0, 0, 0};
  const auto put = [&](double z, double pitch) {
    EnvironmentState state = (*environment)->Save();
    mj_setState(model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
    const double pose[] = {0, z, pitch, 0, 0, 0};
    std::copy(std::begin(pose), std::end(pose), data->qpos);
    std::fill_n(data->qvel, model->nv, 0);
    mj_getState(model, data.get(), state.physics.data(), mjSTATE_INTEGRATION);
    EXPECT_TRUE((*environment)->Restore(state).ok());
    EXPECT_TRUE((*environment)->Step(still).ok());
    return values.Of(**environment, "landed") != 0;
  };
  for (const double pitch : pitches) EXPECT_FALSE(put(2.5, pitch)) << "in the air";
  // its foot touches the floor from 1.21 m on
  bool landed = false;
  for (int cm = 125; cm >= 120; --cm) landed = put(0.01 * cm, pitches.back());
  return landed;
}

TEST(ShippedTasks, PlainHopperLandsByAWholeTurnBackwardsAlone) {
  EXPECT_TRUE(Lands({0, -1.5, -3, -4.5, -6.28}));
  EXPECT_FALSE(Lands({0, 1.5, 3, 4.5, 6.28})) << "forwards";
  EXPECT_FALSE(Lands({0, -1.5, -3, -1.5, 0})) << "there and back";
  EXPECT_FALSE(Lands({0, 1.5, 3, 1.5, 0})) << "the other way there, and back";
  EXPECT_FALSE(Lands({0, -1.5, 0})) << "no turn";
  EXPECT_FALSE(Lands({0, -1.5, -3, -4.5, -5.2})) << "oblique";
}

TEST_F(TaskFolder, ReadsNoIncludeFromOutsideItsFolder) {
  const std::string outside = folder_ + "_outside.xml";
  std::ofstream(outside) << "<mujocoinclude/>";
  const std::string model = Read(folder_ + "/model.xml");
  for (const std::string& path : {outside, absl::StrCat("&#47;", outside.substr(1))}) {
    Write("model.xml",
          absl::StrReplaceAll(
              model, {{"<worldbody>", absl::StrCat("<include file = '", path, "'/><worldbody>")}}));
    EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
                HasSubstr("paths must be relative"));
  }
  fs::remove(outside);
}

TEST_F(TaskFolder, PacksNoFileThatLinksOutOfIt) {
  const std::string outside = folder_ + "_outside.xml";
  std::ofstream(outside) << "<mujocoinclude/>";
  fs::create_symlink(outside, folder_ + "/extra.xml");
  Write("model.xml",
        absl::StrReplaceAll(Read(folder_ + "/model.xml"),
                            {{"<worldbody>", "<include file='extra.xml'/><worldbody>"}}));
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              HasSubstr("extra.xml is a link to outside of the task's folder"));
  // within it a link is as good as a file
  Write("real.xml", "<mujoco><worldbody><light pos='0 0 3'/></worldbody></mujoco>");
  fs::remove(folder_ + "/extra.xml");
  fs::create_symlink("real.xml", folder_ + "/extra.xml");
  EXPECT_TRUE(Task::FromFolder(folder_).ok()) << Task::FromFolder(folder_).status();
  fs::remove(outside);
}

TEST_F(TaskFolder, RefusesAnExpressionThatIsTooLong) {
  EXPECT_THAT(ErrorWith("\"cos(pitch)\"", absl::StrCat("\"0", std::string(5000, ' '), "\"")),
              HasSubstr("at most 4096"));
}

TEST(Bundle, RefusesPathsThatEscapeAndGarbage) {
  v1::TaskBundle message;
  message.add_files()->set_path("../task.textproto");
  EXPECT_FALSE(UnpackBundle(message.SerializeAsString()).ok());
  message.mutable_files(0)->set_path("/etc/passwd");
  EXPECT_FALSE(UnpackBundle(message.SerializeAsString()).ok());
  EXPECT_FALSE(UnpackBundle("garbage").ok());
  EXPECT_FALSE(UnpackBundle(std::string(experience::kMaxBundleBytes + (2 << 20), 'x')).ok());
  EXPECT_FALSE(Task::FromBundle("").ok());
}

TEST_F(TaskFolder, FingerprintsWhatARolloutDependsOn) {
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok());
  const auto with = [&](const std::string& from, const std::string& to) {
    Write(kTaskFile, absl::StrReplaceAll(task_, {{from, to}}));
    auto changed = Task::FromFolder(folder_);
    EXPECT_TRUE(changed.ok()) << changed.status();
    return *changed;
  };
  const auto asked = with("closer to a backflip", "nearer to a backflip");
  EXPECT_EQ(asked->fingerprint(), (*task)->fingerprint());
  const auto skipped = with("frame_skip: 4", "frame_skip: 5");
  EXPECT_NE(skipped->fingerprint(), (*task)->fingerprint());
  const auto observed = with("qvel { clip: 25 }", "qvel { clip: 9 }");
  EXPECT_NE(observed->fingerprint(), (*task)->fingerprint());
}

TEST_F(TaskFolder, ReadsQuantitiesAfterTheStep) {
  Write(kTaskFile, absl::StrReplaceAll(task_, {{"true_reward:", R"(
quantity { name: "rootz" joint { name: "rootz" field: POSITION } }
quantity { name: "a" action { actuator: "leg" } }
quantity { name: "torso_vx" body { name: "torso" field: VX } }
quantity { name: "torso_wy" body { name: "torso" field: WY } }
true_reward:)"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  auto environment = (*task)->MakeEnvironment();
  ASSERT_TRUE(environment.ok());
  ASSERT_TRUE((*environment)->Begin(7, kEvaluation).ok());
  Values values(**task);
  const auto value = [&](const std::string& name) { return values.Of(**environment, name); };
  const float action[] = {0.5f, -2, 1};
  bool touched = false;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE((*environment)->Step(action).ok());
    EXPECT_NEAR(value("z"), value("rootz"), 1e-12);
    EXPECT_NEAR(value("torso_vx"), value("vx"), 1e-9);
    EXPECT_NEAR(value("torso_wy"), value("pitch_rate"), 1e-9);
    EXPECT_EQ(value("a"), -1);
    touched = touched || value("foot") == 1;
  }
  EXPECT_TRUE(touched);
}

TEST_F(TaskFolder, ReadsTheCentreOfMassAsASensorOfMuJoCosDoes) {
  constexpr char kCentres[] = R"(
quantity { name: "com_x" centre_of_mass { body: "torso" field: X } }
quantity { name: "com_z" centre_of_mass { body: "thigh" field: Z } }
quantity { name: "com_vx" centre_of_mass { body: "thigh" field: VX } }
quantity { name: "com_vz" centre_of_mass { body: "torso" field: VZ } }
)";
  const auto load = [&](const std::string& quantities) {
    Write(kTaskFile,
          absl::StrReplaceAll(task_, {{"true_reward:", absl::StrCat(quantities, "true_reward:")}}));
    auto task = Task::FromFolder(folder_);
    EXPECT_TRUE(task.ok()) << task.status();
    return *task;
  };
  const auto plain = load(kCentres);
  Write("model.xml",
        absl::StrReplaceAll(Read(BACKFLIP_TASKS "/hopper_backflip_guided/model.xml"),
                            {{"<actuator>",
                              "<sensor><subtreecom name='torso_p' body='torso'/><subtreecom "
                              "name='thigh_p' body='thigh'/><subtreelinvel name='torso_v' "
                              "body='torso'/><subtreelinvel name='thigh_v' body='thigh'/></sensor>"
                              "<actuator>"}}));
  const auto sensed = load(absl::StrCat(kCentres, R"(
quantity { name: "sensor_x" sensor { name: "torso_p" } }
quantity { name: "sensor_z" sensor { name: "thigh_p" index: 2 } }
quantity { name: "sensor_vx" sensor { name: "thigh_v" } }
quantity { name: "sensor_vz" sensor { name: "torso_v" index: 2 } }
)"));
  const auto a = plain->MakeEnvironment(), b = sensed->MakeEnvironment();
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_TRUE((*a)->Begin(5, kEvaluation).ok() && (*b)->Begin(5, kEvaluation).ok());
  Values plain_values(*plain), sensed_values(*sensed);
  const float action[] = {0.7f, -0.4f, 1};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE((*a)->Step(action).ok() && (*b)->Step(action).ok());
    for (const std::string name : {"x", "z", "vx", "vz"}) {
      const double expected = sensed_values.Of(**b, "sensor_" + name);
      EXPECT_NEAR(sensed_values.Of(**b, "com_" + name), expected, 1e-12) << name;
      EXPECT_NEAR(plain_values.Of(**a, "com_" + name), expected, 1e-9) << name;
    }
  }
  EXPECT_THAT(
      ErrorWith("true_reward:",
                "quantity { name: \"c\" centre_of_mass { body: \"torso\" } }\ntrue_reward:"),
      HasSubstr("field: missing: X, Y, Z, VX, VY or VZ"));
}

TEST_F(TaskFolder, RemembersWithinAnEpisodeAndInItsStates) {
  Write(kTaskFile, absl::StrReplaceAll(task_, {{"true_reward:", R"(
quantity { name: "tall" expression: "z > 1.2" }
quantity { name: "low" expression: "z < 1" }
quantity { name: "never" expression: "0" }
quantity { name: "stood" latch { set: "tall" reset: "low" } }
quantity { name: "fell" latch { set: "low" reset: "never" } }
true_reward:)"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  auto a = (*task)->MakeEnvironment(), b = (*task)->MakeEnvironment();
  ASSERT_TRUE(a.ok() && b.ok());
  Values values(**task);
  const float still[] = {0, 0, 0};
  ASSERT_TRUE((*a)->Begin(3, kEvaluation).ok());
  int remembered = 0;
  for (int i = 0; i < 300 && values.Of(**a, "low") == 0; ++i) {
    EXPECT_EQ(values.Of(**a, "stood"), 1);
    EXPECT_EQ(values.Of(**a, "fell"), 0);
    // another environment goes on with what this one remembers
    ASSERT_TRUE((*b)->Restore((*a)->Save()).ok());
    EXPECT_EQ(values.Of(**b, "stood"), 1);
    remembered += values.Of(**a, "tall") == 0;
    ASSERT_TRUE((*a)->Step(still).ok());
  }
  EXPECT_GT(remembered, 0);
  ASSERT_EQ(values.Of(**a, "low"), 1) << "nothing holds it up";
  EXPECT_EQ(values.Of(**a, "stood"), 0);
  EXPECT_EQ(values.Of(**a, "fell"), 1);
  ASSERT_TRUE((*a)->BeginEpisode(kEvaluation).ok());
  EXPECT_EQ(values.Of(**a, "low"), 0);
  EXPECT_EQ(values.Of(**a, "fell"), 0) << "an episode begins with nothing to remember";
}

// Replaces the hopper's reset.
std::string WithReset(const std::string& task, const std::string& reset) {
  const size_t begin = task.find("reset {"), end = task.find("clip {");
  return absl::StrCat(task.substr(0, begin), reset, "\n", task.substr(end));
}

TEST_F(TaskFolder, BeginsAShareOfTheTrainingElsewhere) {
  Write(kTaskFile, WithReset(task_, R"(reset {
    qvel_noise: 0.005
    exploring_starts {
      share: 0.25
      joint { name: "rootz" position { from: 1.5 to: 1.8 } }
      joint {
        name: "rooty"
        position { from: -3.5 to: -3 }
        velocity { from: -6 to: -4 }
      }
    }
  })"));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  const auto environment = (*task)->MakeEnvironment();
  ASSERT_TRUE(environment.ok());
  Values values(**task);
  const auto elsewhere = [&](int episodes, Environment::Purpose purpose) {
    int count = 0;
    EXPECT_TRUE((*environment)->Begin(1, purpose).ok());
    for (int i = 0; i < episodes; ++i) {
      if (values.Of(**environment, "inverted") != 0) {
        ++count;
        EXPECT_GE(values.Of(**environment, "z"), 1.5);
        EXPECT_LE(values.Of(**environment, "z"), 1.8);
        EXPECT_GE(values.Of(**environment, "w"), 4);
        EXPECT_LE(values.Of(**environment, "w"), 6);
        EXPECT_EQ(values.Of(**environment, "over"), 1) << "latches see the start";
      } else {
        EXPECT_EQ(values.Of(**environment, "z"), 1.25);
        EXPECT_NEAR(values.Of(**environment, "w"), 0, 0.005);
      }
      EXPECT_NEAR(values.Of(**environment, "vz"), 0, 0.005) << "not named";
      EXPECT_TRUE((*environment)->BeginEpisode(purpose).ok());
    }
    return count;
  };
  // four standard deviations
  EXPECT_NEAR(elsewhere(1000, kTraining), 250, 55);
  EXPECT_EQ(elsewhere(200, kEvaluation), 0);
}

TEST_F(TaskFolder, RefusesExploringStartsThatCannotBe) {
  const auto error = [&](const std::string& starts) {
    Write(kTaskFile, WithReset(task_, absl::StrCat("reset { exploring_starts { ", starts, " } }")));
    return std::string(Task::FromFolder(folder_).status().message());
  };
  EXPECT_THAT(error("share: 0.5"), HasSubstr("share: no joint says where these episodes begin"));
  EXPECT_THAT(error("share: 2 joint { name: \"rooty\" }"),
              HasSubstr("share: is 2; must be 0 to 1"));
  EXPECT_THAT(error("share: 1 joint { name: \"rotz\" }"),
              HasSubstr("the model has no joint \"rotz\" (named ones: rootx"));
  EXPECT_THAT(error("share: 1 joint { name: \"leg_joint\" position { from: -3 } }"),
              HasSubstr("position: the joint's limits are -2.61799 and 0"));
  EXPECT_THAT(error("share: 1 joint { name: \"rootx\" velocity { from: 2 to: 1 } }"),
              HasSubstr("velocity: `from` must be at most `to`"));
}

TEST_F(TaskFolder, GivesTheRateOfAQuantityOverTheStep) {
  Write(kTaskFile, absl::StrReplaceAll(task_, {{"true_reward:", R"(
quantity { name: "climb" rate: "z" }
true_reward:)"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  auto a = (*task)->MakeEnvironment(), b = (*task)->MakeEnvironment();
  ASSERT_TRUE(a.ok() && b.ok());
  Values values(**task);
  const float action[] = {0.9f, -0.4f, 1};
  ASSERT_TRUE((*a)->Begin(3, kEvaluation).ok());
  EXPECT_EQ(values.Of(**a, "climb"), 0);
  for (int i = 0; i < 30; ++i) {
    const double before = values.Of(**a, "z");
    // another environment goes on from here
    Environment& next = i % 2 == 0 ? **b : **a;
    ASSERT_TRUE(next.Restore((*a)->Save()).ok());
    ASSERT_TRUE(next.Step(action).ok());
    EXPECT_NEAR(values.Of(next, "climb"), (values.Of(next, "z") - before) / 0.008, 1e-9);
    ASSERT_TRUE((*a)->Restore(next.Save()).ok());
  }
  ASSERT_TRUE((*a)->BeginEpisode(kEvaluation).ok());
  EXPECT_EQ(values.Of(**a, "climb"), 0);
}

TEST_F(TaskFolder, ObservesWhatTouchesTheWorldAndForHowLong) {
  Write(kTaskFile, absl::StrReplaceAll(task_, {{"quantity: \"landed\"", "contacts {}"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  // torso, thigh, leg and foot, three numbers each
  ASSERT_EQ((*task)->observation_size(), 16 + 12);
  auto a = (*task)->MakeEnvironment(), b = (*task)->MakeEnvironment();
  ASSERT_TRUE(a.ok() && b.ok());
  Values values(**task);
  std::vector<float> seen(28), again(28);
  const float still[] = {0, 0, 0};
  ASSERT_TRUE((*a)->Begin(3, kEvaluation).ok());
  double short_trace = 0, long_trace = 0;
  bool off = false, fell = false;
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE((*a)->Step(still).ok());
    (*a)->Observe(seen.data());
    const double foot = values.Of(**a, "foot");
    short_trace += (1 - std::exp(-0.008 / 0.25)) * (foot - short_trace);
    long_trace += (1 - std::exp(-0.008)) * (foot - long_trace);
    EXPECT_EQ(seen[25], foot);
    EXPECT_NEAR(seen[26], short_trace, 1e-6);
    EXPECT_NEAR(seen[27], long_trace, 1e-6);
    EXPECT_EQ(std::max({seen[16], seen[19], seen[22]}), values.Of(**a, "body"));
    off = off || foot == 0;
    fell = fell || seen[16] == 1;
    // a state brings them along, and looking at it changes nothing
    ASSERT_TRUE((*b)->Restore((*a)->Save()).ok());
    (*b)->Observe(again.data());
    ASSERT_EQ(seen, again);
    std::swap(*a, *b);
  }
  EXPECT_TRUE(off && fell) << "nothing to see";
  ASSERT_TRUE((*a)->BeginEpisode(kEvaluation).ok());
  (*a)->Observe(seen.data());
  EXPECT_EQ(std::vector<float>(seen.begin() + 26, seen.end()), std::vector<float>({0, 0}));
}

TEST_F(TaskFolder, CountsBodiesThatAreFixedToEachOtherAsOne) {
  Write("model.xml", Read(BACKFLIP_TASKS "/ant/model.xml"));
  const std::string ant = Read(BACKFLIP_TASKS "/ant/task.textproto");
  Write(kTaskFile, absl::StrReplaceAll(ant, {{"  qvel {}", "  qvel {} contacts {}"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  // the torso with the four parts that are fixed to it, four hips, four ankles
  EXPECT_EQ((*task)->observation_size(), 27 + 3 * 9);
  Write("model.xml", Read(BACKFLIP_TASKS "/swimmer/model.xml"));
  const std::string swimmer = Read(BACKFLIP_TASKS "/swimmer/task.textproto");
  Write(kTaskFile, absl::StrReplaceAll(swimmer, {{"  qvel {}", "  qvel {} contacts {}"}}));
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              HasSubstr("contacts: no body that moves can touch one that stands still"));
}

TEST_F(TaskFolder, BeginsEveryEpisodeWhereItsResetSays) {
  Write(kTaskFile, WithReset(task_, R"(reset {
    qvel_noise: 0.005
    joint { name: "leg_joint" position { from: -1 to: -0.5 } velocity {} }
  })"));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  const auto environment = (*task)->MakeEnvironment();
  ASSERT_TRUE(environment.ok());
  ASSERT_TRUE((*environment)->Begin(1, kTraining).ok());
  double least = 0, most = -1;
  for (int i = 0; i < 200; ++i) {
    std::vector<double> state((*task)->state_size());  // time, qpos, qvel
    (*environment)->RecordState(state.data());
    least = std::min(least, state[1 + 4]);
    most = std::max(most, state[1 + 4]);
    EXPECT_EQ(state[1 + 6 + 4], 0) << "an interval of its own";
    EXPECT_NE(state[1 + 6 + 3], 0) << "the noise of the others";
    ASSERT_TRUE((*environment)->BeginEpisode(i % 2 == 0 ? kEvaluation : kTraining).ok());
  }
  EXPECT_THAT(least, AllOf(testing::Ge(-1), testing::Lt(-0.95)));
  EXPECT_THAT(most, AllOf(testing::Le(-0.5), testing::Gt(-0.55)));
  Write(kTaskFile, WithReset(task_, "reset { joint { name: \"leg_joint\" position { to: 1 } } }"));
  EXPECT_THAT(std::string(Task::FromFolder(folder_).status().message()),
              HasSubstr("position: the joint's limits are -2.61799 and 0"));
}

TEST_F(TaskFolder, RefusesARubricThatCannotBe) {
  const auto error = [&](const std::string& criterion) {
    return ErrorWith("defaults {",
                     absl::StrCat("rubric { criterion { ", criterion, " } }\ndefaults {"));
  };
  EXPECT_THAT(error("value: \"turns\""), HasSubstr("margin: is 0; must be 1e-09 to 1e+09"));
  EXPECT_THAT(error("value: \"turnes\" margin: 1"),
              AllOf(HasSubstr("value: unknown name \"turnes\""), HasSubstr("known here: turns, ")));
}

TEST_F(TaskFolder, RefusesALatchOfWhatComesAfterIt) {
  EXPECT_THAT(ErrorWith("true_reward:",
                        "quantity { name: \"m\" latch { set: \"z\" reset: \"later\" } }\n"
                        "quantity { name: \"later\" expression: \"1\" }\ntrue_reward:"),
              HasSubstr("reset: unknown quantity \"later\" (known: z, "));
}

TEST_F(TaskFolder, ResumesExactlyWithSensors) {
  Write("model.xml",
        absl::StrReplaceAll(Read(BACKFLIP_TASKS "/hopper_backflip_guided/model.xml"),
                            {{"<actuator>",
                              "<sensor><actuatorfrc name='force' actuator='leg'/><jointpos "
                              "name='angle' joint='rooty'/></sensor><actuator>"}}));
  Write(kTaskFile,
        absl::StrReplaceAll(task_, {{"qvel { clip: 25 }", "qvel {} quantity: \"force\""},
                                    {"true_reward:",
                                     "quantity { name: \"force\" sensor { name: \"force\" } }\n"
                                     "true_reward:"}}));
  const auto task = Task::FromFolder(folder_);
  ASSERT_TRUE(task.ok()) << task.status();
  auto a = (*task)->MakeEnvironment(), b = (*task)->MakeEnvironment();
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_TRUE((*a)->Begin(3, kEvaluation).ok());
  const float action[] = {0.3f, 0.9f, -0.4f};
  for (int i = 0; i < 40; ++i) ASSERT_TRUE((*a)->Step(action).ok());
  ASSERT_TRUE((*b)->Restore((*a)->Save()).ok());
  std::vector<float> seen_a((*task)->observation_size()), seen_b = seen_a;
  for (int i = 0; i < 40; ++i) {
    (*a)->Observe(seen_a.data());
    (*b)->Observe(seen_b.data());
    ASSERT_EQ(seen_a, seen_b) << "after " << i;
    ASSERT_TRUE((*a)->Step(action).ok());
    ASSERT_TRUE((*b)->Step(action).ok());
    ASSERT_EQ((*a)->Save(), (*b)->Save());
  }
}

}  // namespace
}  // namespace backflip::sim
