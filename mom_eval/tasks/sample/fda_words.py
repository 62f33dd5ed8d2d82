"""What the FDA-like summaries say: keys with the form of their values, and sections of prose."""

HEAD = (
    "510(k) SUBSTANTIAL EQUIVALENCE DETERMINATION\n"
    "DECISION SUMMARY\n"
    "{ASSAY ONLY|INSTRUMENT ONLY|ASSAY AND INSTRUMENT COMBINATION} TEMPLATE"
)
PURPOSE = (
    "Purpose for submission",
    "{New device|Modification of a cleared device|New matrix for a cleared device}. The changes"
    " concern the {reagent|software|sample path}, and the submission follows {two|three} earlier"
    " discussions with the agency.",
)
KEYS = {
    "Submission number": "K{100000..199999}",
    "Applicant": "{laboratory}",
    "Proprietary name": "{product}",
    "Measurand": (
        "{thyro|gluco|cardio|lipo|hepato|neuro|myo|osteo|cysta|ferro|sero|calci}{glob|trop|kin|ferr"
        "|plast|mod|trans|cort|nect}{ulin|in|ase|ogen|ide|one}"
    ),
    "Type of test": (
        "{Quantitative|Qualitative|Semi-quantitative} {chemiluminescent|turbidimetric|enzymatic|"
        "fluorescence|electrochemical|colorimetric|lateral flow|nephelometric} {immunoassay|assay|"
        "screening test|rate method|end-point method}"
    ),
    "Regulation section": "21 CFR 8{60..92}.{1000..9990}",
    "Product code": "{B|C|D|F|G|J|K|L|M|N|P|Q}{A|E|H|J|K|L|R|T|X|Z}{A|B|D|G|K|M|P|S|V|W}",
    "Panel": (
        "{Clinical Chemistry|Clinical Toxicology|Haematology|Immunology|Microbiology|Pathology|"
        "Molecular Genetics|Medical Genetics} ({70..99})"
    ),
    "Specimen type": (
        "{EDTA|Citrated|Heparinised|Fasting|Frozen|Pooled|Capillary|Venous|Neonatal} {plasma|serum|"
        "whole blood|urine|saliva|cerebrospinal fluid|dried blood spots}"
    ),
    "Predicate device": "{product}",
    "Storage temperature": "{2..15} to {16..30} degrees Celsius",
    "Detection limit": "0.{11..99} {ng/mL|mg/L|mIU/mL|nmol/L}",
    "Reportable range": "{2..19} to {210..990} {ng/mL|mg/L|mIU/mL|nmol/L}",
    "Analyser": "{product}",
    "Shelf life": "{11..59} months",
    "Sample volume": "{12..240} microlitres",
    "Incubation time": "{12..95} minutes",
    "Calibrator lot": "{A|B|C|D}{1000..9999}-{10..99}",
    "Manufacturing site": "{place}, {region}",
    "Contact person": "{person}",
    "Date of summary": "{date}",
}
NARRATIVES = (
    (
        "Intended use",
        (
            "The device is intended for use in {hospital|central|physician office} laboratories by"
            " trained operators.",
            "Results are an aid in the {diagnosis|monitoring} of {adult|paediatric} patients and"
            " must be read together with other findings.",
            "It is not intended for {home use|donor screening|testing at the bedside}.",
        ),
    ),
    (
        "Device description",
        (
            "The kit holds {two|three|four} liquid reagents, {5..40} cartridges and a printed"
            " insert.",
            "A barcode on each pack transfers the lot data, so that no entry by hand is needed.",
            "The optical unit reads at {340..900} nm and corrects for drift every {2..9} hours.",
            "Waste is collected in a sealed drawer that is emptied once a shift.",
        ),
    ),
    (
        "Test principle",
        (
            "The sample binds to {antibody|antigen}-coated {particles|wells}, and the signal is"
            " proportional to the amount bound.",
            "After a washing step the conjugate is added and the light emitted is counted.",
            "Unbound material is removed by a magnet before the second reagent is added.",
        ),
    ),
    (
        "Precision",
        (
            "{Three|Four|Five} samples were run twice a day for {10..30} days on {two|three}"
            " instruments.",
            "The total coefficient of variation was below {3..9}.{1..9} % at all levels.",
            "Repeatability was studied at {place} and {place2} with {two|three} lots.",
        ),
    ),
    (
        "Linearity",
        (
            "A high pool was diluted with a low pool in {seven|nine|eleven} equal steps.",
            "Recovery lay between {88..96} % and {103..112} % of the expected value.",
            "The slope of the regression line was {0..1}.9{10..99}, with no significant second"
            " order term.",
        ),
    ),
    (
        "Interfering substances",
        (
            "No effect above {5..10} % was seen with bilirubin, haemoglobin or lipids.",
            "{Ascorbic acid|Ibuprofen|Biotin|Acetaminophen} was tested at {3..40} times the usual"
            " level.",
            "Cross-reactivity with related compounds was {not detected|less than one per cent}.",
        ),
    ),
    (
        "Method comparison",
        (
            "Fresh samples from {60..380} patients were measured with both systems within a day.",
            "{person} supervised the study at three sites, one of them in {place}.",
            "The bias at the decision level was {1..4}.{1..9} %, which meets the protocol.",
            "{Two|Three|Five} outliers were traced to clots and excluded.",
        ),
    ),
    (
        "Expected values",
        (
            "The reference interval was taken from {120..480} healthy volunteers between {18..30}"
            " and {60..80} years of age.",
            "Each laboratory should confirm the interval for its own population.",
            "No difference between {men and women|age groups} was found.",
        ),
    ),
    (
        "Traceability",
        (
            "Values are assigned with a reference material kept at {place}.",
            "Control material is supplied at {two|three} levels and is not part of this"
            " submission.",
            "Uncertainty was estimated from {20..60} independent runs.",
        ),
    ),
    (
        "Software",
        (
            "The hazard analysis was reviewed and found {adequate|appropriate for the level of"
            " concern}.",
            "Version {2..9}.{1..9} adds a reminder when the {filter|lamp} is due for replacement.",
            "Results can be sent to a host computer over a serial line.",
        ),
    ),
    (
        "Clinical studies",
        (
            "A total of {210..990} subjects were enrolled at {four|six} sites, among them {place}.",
            "Sensitivity and specificity were calculated against the final diagnosis of {two|three}"
            " physicians.",
            "{person} and {person2} read the results without knowledge of the diagnosis.",
        ),
    ),
    (
        "Proposed labelling",
        (
            "The labelling is sufficient and satisfies the requirements that apply.",
            "Warnings about {sodium azide|human source material} are given on the {box|insert}.",
            "The insert explains how to handle samples above the upper limit.",
        ),
    ),
)
