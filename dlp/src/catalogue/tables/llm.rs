//! Keys of model providers and of the tools around them.

use crate::catalogue::entry::{Entry, Table, entry};
use crate::validate;

pub(super) const TABLES: &[Table] = &[Table { category: "secret.llm", entries: KEYS }];

const KEYS: &[Entry] = &[
    entry("OPENAI_API_KEY", 0.95, r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,200}")
        .finds("sk-proj-{48:word}")
        .misses("sk-proj-{19:word}"),
    entry("OPENAI_API_KEY_LEGACY", 0.99, r"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b")
        .finds("sk-{20:alnum}T3BlbkFJ{20:alnum}")
        .misses("sk-{20:alnum}T3BlbkFK{20:alnum}"),
    entry("ANTHROPIC_API_KEY", 0.99, r"\bsk-ant-(?:api|admin|oat|ort|sid)[0-9]{2}-[A-Za-z0-9_-]{80,120}")
        .finds("sk-ant-api03-{93:word}AA")
        .misses("sk-ant-api03-{79:word}"),
    entry("GROQ_API_KEY", 0.95, r"\bgsk_[A-Za-z0-9]{52}\b").finds("gsk_{52:alnum}").misses("gsk_{53:alnum}"),
    entry("XAI_API_KEY", 0.95, r"\bxai-[A-Za-z0-9]{80}\b").finds("xai-{80:alnum}").misses("xai-{79:alnum}"),
    entry("XAI_MANAGEMENT_KEY", 0.95, r"\bxai-token-[A-Za-z0-9]{80}\b")
        .finds("xai-token-{80:alnum}")
        .misses("xai-token-{79:alnum}"),
    entry("HUGGINGFACE_TOKEN", 0.9, r"\bhf_[A-Za-z]{34}\b").finds("hf_{34:letter}").misses("hf_{33:letter}"),
    entry("HUGGINGFACE_ORG_TOKEN", 0.9, r"\bapi_org_[A-Za-z]{34}\b")
        .finds("api_org_{34:letter}")
        .misses("api_org_{33:letter}"),
    entry("REPLICATE_API_TOKEN", 0.9, r"\br8_[A-Za-z0-9]{37}\b")
        .finds("r8_{37:alnum}")
        .misses("r8_{36:alnum}"),
    entry("PERPLEXITY_API_KEY", 0.95, r"\bpplx-[A-Za-z0-9]{48}\b")
        .finds("pplx-{48:alnum}")
        .misses("pplx-{47:alnum}"),
    entry("OPENROUTER_API_KEY", 0.99, r"\bsk-or-v1-[0-9a-f]{64}\b")
        .finds("sk-or-v1-{64:hex}")
        .misses("sk-or-v1-{63:hex}g"),
    entry("LANGSMITH_API_KEY", 0.95, r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b")
        .finds("lsv2_pt_{32:hex}_{10:hex}")
        .misses("lsv2_xx_{32:hex}_{10:hex}"),
    entry("LANGFUSE_SECRET_KEY", 0.99, r"\bsk-lf-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("sk-lf-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("sk-lf-{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}"),
    entry("DEEPSEEK_API_KEY", 0.9, r"\bsk-[0-9a-f]{32}\b").finds("sk-{32:hex}").misses("sk-{31:hex}"),
    entry("NVIDIA_API_KEY", 0.95, r"\bnvapi-[A-Za-z0-9_-]{64}")
        .finds("nvapi-{64:word}")
        .misses("nvapi-{63:word}"),
    entry("CEREBRAS_API_KEY", 0.95, r"\bcsk-[a-z0-9]{48}\b").finds("csk-{48:lower}").misses("csk-{47:lower}"),
    entry("FIREWORKS_API_KEY", 0.9, r"\bfw_[A-Za-z0-9]{22,24}\b")
        .finds("fw_{24:alnum}")
        .misses("fw_{21:alnum}"),
    entry("TOGETHER_API_KEY", 0.95, r"\btgp_v1_[A-Za-z0-9_-]{43}")
        .finds("tgp_v1_{43:word}")
        .misses("tgp_v1_{42:word}"),
    entry("VOYAGE_API_KEY", 0.85, r"\bpa-[A-Za-z0-9_-]{43}\b").finds("pa-{43:alnum}").misses("pa-{42:alnum}"),
    entry("JINA_API_KEY", 0.95, r"\bjina_[0-9a-f]{32}[A-Za-z0-9_-]{28}\b")
        .finds("jina_{32:hex}{28:alnum}")
        .misses("jina_{32:hex}{27:alnum}"),
    entry("NOMIC_API_KEY", 0.85, r"\bnk-[A-Za-z0-9_-]{43}\b").finds("nk-{43:alnum}").misses("nk-{42:alnum}"),
    entry("ELEVENLABS_API_KEY", 0.9, r"\bsk_[0-9a-f]{48}\b").finds("sk_{48:hex}").misses("sk_{47:hex}"),
    entry("TAVILY_API_KEY", 0.95, r"\btvly-(?:dev-|prod-)?[A-Za-z0-9]{32}\b")
        .finds("tvly-dev-{32:alnum}")
        .misses("tvly-dev-{31:alnum}"),
    entry("FIRECRAWL_API_KEY", 0.9, r"\bfc-[0-9a-f]{32}\b").finds("fc-{32:hex}").misses("fc-{31:hex}"),
    entry("PINECONE_API_KEY", 0.95, r"\bpcsk_[A-Za-z0-9]{5,8}_[A-Za-z0-9]{40,80}\b")
        .finds("pcsk_{6:alnum}_{63:alnum}")
        .misses("pcsk_{6:alnum}_{39:alnum}"),
    entry("WANDB_API_KEY", 0.95, r"\bwandb_v1_[A-Za-z0-9_]{60,90}")
        .finds("wandb_v1_{77:alnum}")
        .misses("wandb_v1_{59:alnum}"),
    entry("LLAMACLOUD_API_KEY", 0.95, r"\bllx-[A-Za-z0-9]{48}\b")
        .finds("llx-{48:alnum}")
        .misses("llx-{47:alnum}"),
    entry("ANYSCALE_API_KEY", 0.95, r"\besecret_[a-z0-9]{26}\b")
        .finds("esecret_{26:lower}")
        .misses("esecret_{25:lower}"),
    entry("RUNPOD_API_KEY", 0.95, r"\brpa_[A-Z0-9]{40,48}\b")
        .finds("rpa_{42:upper}")
        .misses("rpa_{39:upper}"),
    entry(
        "HELICONE_API_KEY",
        0.95,
        r"\bsk-helicone-(?:eu-)?[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}\b",
    )
    .finds("sk-helicone-{7:lower}-{7:lower}-{7:lower}-{7:lower}")
    .misses("sk-helicone-{7:lower}-{7:lower}-{7:lower}-{6:lower}"),
    entry("MODAL_TOKEN_SECRET", 0.9, r"\bas-[A-Za-z0-9]{22}\b")
        .finds("as-{22:alnum}")
        .misses("as-{21:alnum}")
        .checked("a digit, a small and a capital letter", validate::mixed_key),
    entry("VERCEL_AI_GATEWAY_KEY", 0.95, r"\bvck_[A-Za-z0-9]{56,64}\b")
        .finds("vck_{56:alnum}")
        .misses("vck_{55:alnum}"),
    entry("APIFY_API_TOKEN", 0.95, r"\bapify_api_[A-Za-z0-9]{36}\b")
        .finds("apify_api_{36:alnum}")
        .misses("apify_api_{35:alnum}"),
    entry("STABILITY_API_KEY", 0.8, r"\bsk-[A-Za-z0-9]{48}\b")
        .finds("sk-{48:alnum}")
        .misses("sk-{47:alnum}")
        .checked("letters, a digit, randomness", validate::random_key),
    entry("FAL_API_KEY", 0.9, r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}\b")
        .finds("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}:{32:hex}")
        .misses("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}:{31:hex}")
        .context(&["fal_key", "fal.ai", "fal-ai", "fal key"]),
    entry("ZHIPU_API_KEY", 0.85, r"\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b")
        .finds("{32:hex}.{16:alnum}")
        .misses("{32:hex}.{15:alnum}")
        .context(&["zhipu", "bigmodel", "zai_api_key", "glm"]),
    entry("COHERE_API_KEY", 0.6, r"\b[A-Za-z0-9]{40}\b")
        .finds("{40:alnum}")
        .misses("{39:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["cohere", "co_api_key"]),
    entry("MISTRAL_API_KEY", 0.6, r"\b[A-Za-z0-9]{32}\b")
        .finds("{32:alnum}")
        .misses("{31:alnum}")
        .checked("letters, a digit, randomness", validate::random_key)
        .context(&["mistral"]),
    entry("AZURE_OPENAI_KEY", 0.6, r"\b(?:[0-9a-f]{32}|[A-Za-z0-9]{84})\b")
        .finds("{32:hex}")
        .misses("{31:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&["api-key", "ocp-apim-subscription-key", "azure", "cognitiveservices"]),
    entry("AWS_BEDROCK_API_KEY", 0.95, r"\bABSK[A-Za-z0-9+/]{109,269}={0,2}")
        .finds("ABSK{120:alnum}=")
        .misses("ABSK{108:alnum}"),
    entry("AWS_BEDROCK_SHORT_TERM_KEY", 0.95, r"\bbedrock-api-key-[A-Za-z0-9+/]{60,1400}={0,2}")
        .finds("bedrock-api-key-{200:alnum}")
        .misses("bedrock-api-key-{59:alnum}"),
    // Shapes that several providers share; the name of one of them must stand before the key.
    entry("MODEL_PROVIDER_HEX_KEY", 0.8, r"\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b")
        .finds("{40:hex}")
        .misses("{41:hex}")
        .checked("letters, a digit, randomness", validate::random_hex)
        .context(&[
            "assemblyai",
            "deepgram",
            "together",
            "wandb",
            "comet",
            "stability",
            "lambda",
            "gladia",
            "speechmatics",
            "clarifai",
            "writer",
            "playht",
        ]),
    entry("MODEL_PROVIDER_UUID_KEY", 0.8, r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
        .finds("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{12:hex}")
        .misses("{8:hex}-{4:hex}-{4:hex}-{4:hex}-{11:hex}")
        .context(&["pinecone", "exa_api_key", "ai21", "sambanova", "aleph_alpha", "heygen", "leonardo"]),
];
